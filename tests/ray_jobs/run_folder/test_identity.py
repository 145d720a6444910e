"""Names: made of data_spec and a time, given ones as they are, ids that belong to one run."""

from datetime import datetime

import pytest

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.identity import (
    artifact_name,
    automatic_name,
    load_identity,
    resolve_identity,
)
from ray_jobs.settings.tracking import refuse_unsafe_name

RSST = ("rsst", "vit_small", "cifar100", "sched_exp_custom_exponents", "reg_0.5", "exp3", "crit_l1", "rate_0.15")
REFILL = ("refill", "vit_small", "cifar100", "fill_0.1", "crit_magnitude", "rate_0.2")


@pytest.mark.parametrize(
    ("parts", "time", "name"),
    [
        (
            (*RSST, "pretrained"),
            datetime(2026, 1, 8, 14, 30),
            "rsst_vit_small_cifar100_sched_exp_custom_exponents_reg_0.5_exp3_crit_l1_rate_0.15_pretrained_0108_1430",
        ),
        (
            (*REFILL, "pretrained"),
            datetime(2026, 1, 8, 15, 20, 59),
            "refill_vit_small_cifar100_fill_0.1_crit_magnitude_rate_0.2_pretrained_0108_1520",
        ),
        (("flow_matching", "digits"), datetime(2026, 11, 30, 0, 5), "flow_matching_digits_1130_0005"),
    ],
)
def test_an_automatic_name_is_the_name_parts_and_the_start(parts, time, name):
    assert automatic_name(parts, time) == name


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a:b", "a\nb", "..", " a", "a ", 'a"b', "a*", "a?", "<a>", "a|b", "."])
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    with pytest.raises(ValueError, match="cannot name a folder"):
        refuse_unsafe_name(name)


@pytest.mark.parametrize("name", ["Run 7", "größe", "lr=0.1, wd=0", "a.b-c_d"])
def test_other_names_are_not(name):
    refuse_unsafe_name(name)


def test_a_given_name_is_taken_as_it_is_and_no_stamp_is_added(tmp_path):
    assert resolve_identity(Folder(str(tmp_path)), ("toy",), given="My run: 1").name == "My run: 1"


def test_a_run_keeps_its_identity_through_all_starts(tmp_path):
    folder = Folder(str(tmp_path))
    first = resolve_identity(folder, ("toy",), given=None, now=datetime(2026, 1, 8, 14, 30), tags=["toy"])
    again = resolve_identity(folder, ("toy", "other"), given="other", now=datetime(2027, 1, 1), tags=["x"])
    assert first == again == load_identity(folder)
    assert first.name == "toy_0108_1430" and first.tags == ("toy",)


def test_two_runs_of_one_name_have_two_ids(tmp_path):
    ids = {resolve_identity(Folder(str(tmp_path / str(i))), ("toy",), given="same").wandb_id for i in range(50)}
    assert len(ids) == 50


def test_an_artifact_name_is_valid_in_wandb_and_of_one_run():
    assert artifact_name("My run: 1/é", "abc") == "My_run__1__-abc"
    assert len(artifact_name("x" * 500, "abc")) == 128 and artifact_name("x" * 500, "abc").endswith("x-abc")
