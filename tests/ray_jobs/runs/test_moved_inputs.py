"""Where data and models lie is not what is learnt: a run goes on after a move, and never on other content."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.training import train
from ray_jobs.settings.experiment import Experiment

FILE = Path(__file__).resolve().parents[3] / "ray_jobs/experiments/demo/flow_matching.yaml"
SHORT = {
    "training.epochs": "null", "training.max_steps": "2", "training.schedule.warmup_steps": "1",
    "training.evaluate_every": "null", "training.pictures_every": "null", "training.models_every": "null",
    "training.checkpoint_every": "null", "training.log_every_steps": "1", "training.batch_size": "8",
    "workload.network.base_channels": "8", "workload.network.num_groups": "4", "workload.data.source": "folder",
    "workload.data.size": "8", "scaling.num_workers": "0", "scaling.threads_per_worker": "1",
}  # fmt: skip


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    _save(tmp_path / "first", level=0)
    return tmp_path / "first"


def _save(folder: Path, *, level: int) -> None:
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
        for number in range(12):
            Image.fromarray(np.full((8, 8, 3), level + number, np.uint8)).save(folder / label / f"{number}.png")


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Experiment]:
    def build(path: Path, **settings: str) -> Experiment:
        changes = {**SHORT, "storage.path": tmp_path / "out", "workload.data.path": path, **settings}
        return load_experiment(FILE, [f"{key}={value}" for key, value in changes.items()])

    return build


@pytest.mark.slow
@pytest.mark.parametrize("name", ["null", "named"])
def test_a_run_is_the_same_after_its_data_have_moved(raw: Path, build: Callable[..., Experiment], name: str) -> None:
    first = train(build(raw, **{"tracking.run_name": name}))
    raw = raw.rename(raw.with_name("elsewhere"))
    again = train(build(raw, **{"tracking.run_name": name}))
    assert again.run_id == first.run_id and again.final == first.final
    assert "is already finished" in again.folder.read("train.log").decode()


@pytest.mark.slow
def test_other_data_never_pass_for_those_of_a_run(raw: Path, build: Callable[..., Experiment], tmp_path: Path) -> None:
    finished = train(build(raw))
    _save(tmp_path / "second", level=100)
    with pytest.raises(
        ValueError, match=r"on other content of workload\.data: .* digest \w{12} there, .* with \w{12} here"
    ):
        train(build(tmp_path / "second"))
    for name in ("final_metrics.json",):  # an unfinished run is no different
        finished.folder.delete(name)
    with pytest.raises(ValueError, match="was trained on other data"):
        train(build(tmp_path / "second"))
    assert train(build(tmp_path / "second", **{"tracking.run_name": "second"})).run_id == "second"


def test_places_are_no_part_of_a_run_id(build: Callable[..., Experiment], tmp_path: Path) -> None:
    assert build(Path("/a/x")).run_id == build(Path("/b/y"), **{"workload.data.prepared": "/c"}).run_id
    assert build(Path("/a/x")).run_id != build(Path("/a/x"), **{"workload.data.size": "16"}).run_id


def test_a_refused_run_leaves_no_folder(raw: Path, build: Callable[..., Experiment], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"training\.batch_size=1000 is more than the"):
        train(build(raw, **{"training.batch_size": "1000", "tracking.run_name": "refused"}))
    assert not (tmp_path / "out/runs/refused").exists()
