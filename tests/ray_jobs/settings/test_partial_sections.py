"""A setting that is given changes no other one, also where a section has defaults of its own."""

from pathlib import Path

import pytest

from ray_jobs.settings.experiment import check_experiment

FLOW = "workload: {name: flow_matching, evaluation: {sampling: {nfe: 100}}}\ntraining: {epochs: 1}\n"
VIDEO = "workload: {name: video_prediction, network: {past: {num_layers: 2}}}\ntraining: {epochs: 1}\n"


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> Path:
        (tmp_path / "experiment.yaml").write_text(text)
        return tmp_path / "experiment.yaml"

    return write


def test_a_part_of_a_section_keeps_the_rest(write):
    sampling = check_experiment(write(FLOW)).model_dump()["workload"]["evaluation"]["sampling"]
    assert (sampling["nfe"], sampling["guidance"]) == (100, 1.0)
    past = check_experiment(write(VIDEO)).model_dump()["workload"]["network"]["past"]
    assert (past["num_layers"], past["channels"], past["num_groups"]) == (2, 64, 16)


def test_an_override_of_the_command_line_keeps_the_rest(write):
    whole = write("workload: {name: flow_matching}\ntraining: {epochs: 1}\n")
    plain = check_experiment(whole).model_dump()["workload"]
    changed = check_experiment(whole, ["workload.evaluation.sampling.solver=heun"]).model_dump()["workload"]
    assert plain["evaluation"]["sampling"] | {"solver": "heun"} == changed["evaluation"]["sampling"]
    assert changed["pictures"] == plain["pictures"]


def test_another_kind_has_its_own_defaults(write):
    text = VIDEO.replace("past: {num_layers: 2}", "name: simvp, channels: 16")
    network = check_experiment(write(text)).model_dump()["workload"]["network"]
    assert network["name"] == "simvp" and network["channels"] == 16 and "past" not in network


def test_what_is_given_wins(write):
    text = FLOW.replace("nfe: 100", "nfe: 100, guidance: 3.0")
    assert check_experiment(write(text)).model_dump()["workload"]["evaluation"]["sampling"]["guidance"] == 3.0
