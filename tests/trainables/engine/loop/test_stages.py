"""Trainings of several stages: what starts anew, what is kept, and what is refused."""

import json

import pytest

from ray_jobs.runs.training import train
from tests.settings import problems_of
from trainables.contract.train_context import Progress
from trainables.engine.files.model_versions import load_aliases
from trainables.engine.step.optim import compute_factor

pytestmark = pytest.mark.slow

STAGED = {
    "workload": {"rounds": 3},
    "training": {
        "epochs": 2,
        "schedule": {"name": "cosine", "warmup_steps": 3},
        "evaluate_every": "5 epochs",
        "pictures_every": None,
    },
}


def rows_of(experiment) -> list[dict]:
    return [json.loads(line) for line in experiment.folder.read("metrics.jsonl").splitlines()]


def test_progress_counts_stages():
    places = [Progress(epoch, 0, num_epochs=6, steps_per_epoch=4, num_stages=3) for epoch in range(1, 7)]
    assert [place.stage for place in places] == [0, 0, 1, 1, 2, 2]
    assert [place.ends_stage for place in places] == [False, True] * 3
    assert places[0].steps_per_stage == 8
    alone = Progress(1, 0, num_epochs=2, steps_per_epoch=4)
    assert (alone.stage, alone.ends_stage, alone.steps_per_stage) == (0, False, 8)


def test_the_schedule_restarts_in_every_stage(toy):
    experiment = toy(**STAGED)
    train(experiment)
    rows = rows_of(experiment)
    settings = experiment.training.schedule
    rates = [0.01 * compute_factor(step, settings, num_steps=16, steps_per_epoch=8) for step in range(16)]
    assert [row["train/learning_rate"] for row in rows] == pytest.approx(rates * 3)
    assert [row["epoch"] for row in rows] == [epoch for epoch in range(1, 7) for _ in range(8)]


def test_each_stage_ends_with_an_evaluation_and_its_findings(toy):
    experiment = toy(**STAGED)
    final = train(experiment).final
    rows = rows_of(experiment)
    # every fifth epoch by the cadence, and the end of each stage
    assert [row["step"] for row in rows if "test/mse" in row] == [16, 32, 40, 48]
    found = {row["step"]: (row["test/width"], row["test/stage"]) for row in rows if "test/width" in row}
    assert found == {16: (4, 1), 32: (2, 2)}
    assert final["metrics"]["test/width"] == 2


def test_each_stage_keeps_its_last_and_its_best_model(toy):
    """A rate that grows too high, so that the first epochs are the best ones."""
    training = {**STAGED["training"], "evaluate_every": "4 steps", "optimizer": {"learning_rate": 0.8}}
    experiment = toy(**{**STAGED, "training": training})
    train(experiment)
    values = {row["step"]: row["test/mse"] for row in rows_of(experiment) if "test/mse" in row}
    best = [
        min((step for step in values if stage < step <= stage + 16), key=lambda step: values[step])
        for stage in (0, 16, 32)
    ]
    assert not {16, 32} >= set(best[:2])
    aliases = load_aliases(experiment.folder)
    assert aliases["kept"] == [f"step_{step:09d}" for step in sorted({16, 32, *best[:2]})]
    assert aliases["best"] == f"step_{best[2]:09d}"


@pytest.mark.parametrize("step", [16, 20, 33])
def test_a_resume_in_any_stage_gives_the_same_rows_and_weights(toy, step):
    """At the boundary of two stages, inside the second, and inside the third."""
    staged = {**STAGED, "training": {**STAGED["training"], "checkpoint_every_steps": 1, "keep_checkpoints": 100}}
    experiment = toy(**staged)
    train(experiment)
    whole, folder = rows_of(experiment), experiment.folder
    last = "checkpoints/step_000000048"
    weights = [folder.read(f"{last}/{name}.safetensors") for name in ("model", "ema")]
    for name in folder.names("checkpoints"):
        if int(name.removeprefix("step_")) > step:
            folder.delete(f"checkpoints/{name}")
    folder.delete("final_metrics.json")
    train(experiment)
    assert rows_of(experiment) == whole
    assert [folder.read(f"{last}/{name}.safetensors") for name in ("model", "ema")] == weights


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"max_steps": 5}, "3 stages; give `training.epochs`"),
        ({"epochs": 2, "early_stopping": {"patience": 1}}, "`training.early_stopping` would end"),
    ],
)
def test_what_stages_cannot_have_is_refused(training, words):
    problems = problems_of({"workload": {"name": "toy", "rounds": 3}, "training": training})
    assert len(problems) == 1 and words in problems[0]
