"""The `tracking` section: off by default, and what is wrong in it is named."""

import pytest

from ray_jobs.settings.tracking import Tracking
from ray_jobs.tracking.wandb_environment import mode_of
from tests.settings import problems_of, settings_with


def test_tracking_is_off_by_default():
    assert Tracking().wandb is False


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("run_name", "a/b", "cannot name a folder"),
        ("project", "a/b/c", "write it as project or team/project"),
        ("project", "/b", "is no name"),
        ("project", "what?", "is no name"),
        ("entity", "a#b", "is no name"),
        ("tags", [""], "is no tag"),
        ("tags", ["x" * 65], "is no tag"),
        ("mode", "ofline", "'online' or 'offline'"),
        ("log_images", "5 weeks", "is no cadence"),
        ("watch", "weights", "'gradients', 'parameters' or 'all'"),
        ("watch_every_steps", 0, "greater than or equal to 1"),
        ("init_timeout_s", 0, "greater than 0"),
        ("finish_timeout_s", -1.0, "greater than 0"),
        ("wandb", "yes", "valid boolean"),
        ("api_key", "abc", "there is no such setting"),
    ],
)
def test_a_wrong_setting_is_named(key, value, words):
    problems = problems_of(settings_with(f"tracking.{key}", value))
    assert all(problem.startswith(f"tracking.{key}") for problem in problems)
    assert any(words in problem for problem in problems)


def test_a_project_may_name_its_team_and_no_other():
    assert Tracking(project="team/project", entity="team").project == "team/project"
    with pytest.raises(ValueError, match="names the team 'team' and `entity` is 'other'"):
        Tracking(project="team/project", entity="other")


@pytest.mark.parametrize(
    ("setting", "variable", "mode"),
    [
        (None, None, "online"),
        (None, "offline", "offline"),
        (None, "dryrun", "offline"),
        ("online", "offline", "online"),
        ("offline", None, "offline"),
    ],
)
def test_the_mode_is_the_setting_or_the_wandb_variable(monkeypatch, setting, variable, mode):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    assert mode_of(Tracking(mode=setting)) == mode
