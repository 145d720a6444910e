"""Placement groups of killed trials, which Ray frees only when the complete job ends, or by its dashboard.

The next start of a killed trial would wait forever for the CPUs that its own workers held.
"""

from typing import Any

from ray import tune
from ray.util.placement_group import PlacementGroup, remove_placement_group


class GroupRemover(tune.Callback):
    """Callback that removes the placement group of a trial's workers when the trial is lost."""

    def __init__(self) -> None:
        self._groups: dict[str, PlacementGroup] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles its callbacks for a restore of its own, which is never used

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        if "placement_group" in result:
            self._groups[trial.trial_id] = result.pop("placement_group")

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._remove(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._remove(trial)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Forget the group, which the trial itself has freed."""
        self._groups.pop(trial.trial_id, None)

    def _remove(self, trial: Any) -> None:
        group = self._groups.pop(trial.trial_id, None)
        if group is not None:
            remove_placement_group(group)
