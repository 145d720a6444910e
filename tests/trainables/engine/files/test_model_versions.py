"""Model versions: the aliases move, what nothing names is dropped, what was asked for stays."""

import pytest
import torch
from safetensors.torch import load_file

from data_pipelines.storage.checksums import verify
from data_pipelines.storage.folder import Folder
from trainables.engine.files.model_versions import name_model, write_model
from trainables.run_paths import load_aliases, step_name


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(str(tmp_path))


def save(folder: Folder, step: int, *aliases: str, **keeps: bool) -> str:
    version = step_name(step)
    write_model(
        folder,
        f"models/{version}",
        weights={"w": torch.full((2,), float(step))},
        task_state={"mean": torch.tensor(step), "words": ["a"]},
        metadata={"global_step": step, "metrics": {"x": 0.1}},
    )
    name_model(folder, version, aliases, **{"is_kept": False, **keeps})
    return f"models/{version}"


def versions(folder: Folder) -> list[int]:
    return [int(name.removeprefix("step_")) for name in folder.names("models") if name.startswith("step_")]


def test_a_version_holds_weights_task_state_and_metadata(folder):
    name = save(folder, 7, "latest")
    assert name == "models/step_000000007"
    with folder.local(name) as files:
        assert verify(files) is None
        assert torch.equal(load_file(files / "model.safetensors")["w"], torch.full((2,), 7.0))
        state = torch.load(files / "task.pt", weights_only=True)
    assert state == {"mean": torch.tensor(7), "words": ["a"]}
    assert folder.read_json(f"{name}/metadata.json") == {"global_step": 7, "metrics": {"x": 0.1}}


def test_before_the_first_version_there_are_no_aliases(folder):
    assert load_aliases(folder) == {"latest": None, "best": None, "kept": []}


def test_aliases_move_and_versions_without_alias_are_dropped(folder):
    save(folder, 1, "latest", "best")
    assert versions(folder) == [1]
    save(folder, 2, "latest")
    assert versions(folder) == [1, 2]
    save(folder, 3, "latest")
    assert versions(folder) == [1, 3]
    assert load_aliases(folder) == {"latest": "step_000000003", "best": "step_000000001", "kept": []}
    save(folder, 4, "latest", "best")
    assert versions(folder) == [4]
    assert load_aliases(folder) == {"latest": "step_000000004", "best": "step_000000004", "kept": []}


def test_versions_that_the_cadence_asked_for_stay(folder):
    save(folder, 1, "latest", is_kept=True)
    save(folder, 2, "latest", "best")
    save(folder, 3, "latest", "best", is_kept=True)
    save(folder, 4, "latest", "best")
    assert versions(folder) == [1, 3, 4]
    assert load_aliases(folder)["kept"] == ["step_000000001", "step_000000003"]


def test_the_best_version_stays_when_it_is_asked_for(folder):
    save(folder, 1, "latest", "best")
    save(folder, 2, "latest", "best")
    save(folder, 3, "latest", is_kept=True, keeps_best=True)
    save(folder, 4, "latest", "best")
    save(folder, 5, "latest", "best")
    assert versions(folder) == [2, 3, 5]
    assert load_aliases(folder)["kept"] == ["step_000000002", "step_000000003"]


def test_a_version_saved_again_after_a_resume_replaces_itself(folder):
    for _ in range(2):
        save(folder, 5, "latest", "best", is_kept=True)
    assert versions(folder) == [5]
    assert load_aliases(folder) == {"latest": "step_000000005", "best": "step_000000005", "kept": ["step_000000005"]}
    with folder.local("models/step_000000005") as files:
        assert verify(files) is None


def test_every_alias_names_an_existing_version_at_all_times(folder, monkeypatch):
    """A reader between any two writes finds what the aliases name."""
    write, delete = Folder.write, Folder.delete

    def check() -> None:
        aliases = load_aliases(folder)
        named = {aliases["latest"], aliases["best"], *aliases["kept"]} - {None}
        assert named <= set(folder.names("models"))

    def checked(original):
        def call(self, *arguments):
            check()
            original(self, *arguments)
            check()

        return call

    monkeypatch.setattr(Folder, "write", checked(write))
    monkeypatch.setattr(Folder, "delete", checked(delete))
    for step in range(1, 6):
        save(folder, step, *(["latest", "best"] if step % 2 else ["latest"]), is_kept=step == 2)
    assert versions(folder) == [2, 5]
