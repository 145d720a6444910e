import json
from pathlib import Path

import pytest
import torch

from tests.trainables.workloads.flow_matching.conftest import DATA_SPEC, tiny_config
from trainables.workloads.flow_matching.reflow.teacher import METADATA, load_task_state, load_weights, read_card


def write_metadata(folder: Path, **changes) -> None:
    metadata = {"workload": tiny_config().model_dump(mode="json"), "facts": DATA_SPEC} | changes
    (folder / "metadata.json").write_text(json.dumps(metadata))


def test_the_card_returns_the_settings_and_the_data_spec(tmp_path: Path):
    write_metadata(tmp_path)
    card = read_card(tmp_path)
    assert card.config == tiny_config() and card.data_spec == DATA_SPEC


def test_a_folder_without_metadata_is_refused_with_its_path(tmp_path: Path):
    with pytest.raises(ValueError, match=f"no {METADATA} in the teacher's folder {tmp_path}"):
        read_card(tmp_path)


def test_a_checkpoint_is_no_teacher(tmp_path: Path):
    write_metadata(tmp_path)
    (tmp_path / "state.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=f"the teacher: {tmp_path} is a checkpoint; give its run, or one of the run's"):
        read_card(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"workload": {"name": "other"}, "facts": {}}'])
def test_metadata_of_something_else_are_refused_with_the_file(tmp_path: Path, text: str):
    (tmp_path / "metadata.json").write_text(text)
    with pytest.raises(ValueError, match=r"metadata\.json does not describe a flow-matching model"):
        read_card(tmp_path)


def test_missing_data_spec_entries_are_named(tmp_path: Path):
    write_metadata(tmp_path, facts={"channels": 1, "height": 4})
    with pytest.raises(ValueError, match="lacks the data spec of width, class_names"):
        read_card(tmp_path)


def test_broken_weights_are_refused_with_the_file(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match=r"model.safetensors: is no file of weights"):
        load_weights(tmp_path)


def test_a_broken_or_unsafe_task_state_is_refused_with_the_file(tmp_path: Path):
    (tmp_path / "task.pt").write_bytes(b"no state")
    with pytest.raises(ValueError, match=r"task.pt: is no file of weights"):
        load_task_state(tmp_path)
    torch.save({"path": tmp_path}, tmp_path / "task.pt")
    with pytest.raises(ValueError, match=r"task.pt: holds Python objects beside weights"):
        load_task_state(tmp_path)


def test_an_absent_task_state_is_empty(tmp_path: Path):
    assert load_task_state(tmp_path) == {}
