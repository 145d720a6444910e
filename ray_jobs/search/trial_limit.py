"""Number of trials at the same time: what the cluster has room for now, and one more that asks it to grow."""

import time
from collections.abc import Callable

LOOK_S = 5.0
"""Seconds between two looks at the cluster."""


class TrialLimit:
    """Limit that follows the cluster.

    `count_rooms` returns the number of trials that the cluster has room for, were it empty, and `most` is the largest
    limit, None for any. `asks_for_more` gives out one trial more than there is room for: it waits, and an autoscaler
    starts machines for what waits. `tell` is called with a line when the room changes.
    """

    def __init__(
        self,
        count_rooms: Callable[[], int],
        most: int | None,
        *,
        asks_for_more: bool,
        tell: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ):
        self._count_rooms, self._most, self._asks = count_rooms, most, int(asks_for_more)
        self._tell, self._clock = tell, clock
        self._rooms, self._looked = count_rooms(), clock()

    @property
    def rooms(self) -> int:
        """Trials that run at the same time, as of the last look."""
        return min(self._rooms, self._most or self._rooms)

    def __call__(self) -> int:
        """Return how many trials may be given out now."""
        if self._clock() - self._looked >= LOOK_S:
            before, self._rooms, self._looked = self.rooms, self._count_rooms(), self._clock()
            if self.rooms != before:
                self._tell(f"the cluster has room for {self.rooms} trials at a time now, before {before}")
        wanted = self._rooms + self._asks
        return min(wanted, self._most or wanted)
