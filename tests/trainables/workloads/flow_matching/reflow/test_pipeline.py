import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from data_pipelines.contract.row_draws import torch_draws
from data_pipelines.images.config import ImageData
from tests.tasks import seeded
from tests.trainables.workloads.flow_matching.conftest import CPU, DATA_SPEC, begin, solo, start_of, tiny_config
from trainables.workloads.flow_matching.config import FlowMatchingConfig, Network, Reflow, Sampling
from trainables.workloads.flow_matching.flow.guidance import generate
from trainables.workloads.flow_matching.reflow import pair_generator
from trainables.workloads.flow_matching.reflow import pipeline as reflow_pipeline
from trainables.workloads.flow_matching.reflow.pipeline import ReflowPipeline
from trainables.workloads.flow_matching.task import FlowMatchingTask

pytestmark = pytest.mark.slow


class Images:
    """Stands for the pipeline of the real images."""

    def __init__(self, **changes: Any) -> None:
        self._facts = DATA_SPEC | changes

    def data_spec(self) -> dict[str, Any]:
        return self._facts


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflow_pipeline, "PAIRS_PER_CHUNK", 4)


@pytest.fixture
def teacher(tmp_path: Path) -> Path:
    """A saved model, as the engine writes it."""
    config = tiny_config()
    task = seeded(FlowMatchingTask)(config, DATA_SPEC, seed=3)
    begin(task, start_of(solo()))
    nn.init.normal_(task.module.get_parameter("conv_out.weight"), std=0.3, generator=torch.Generator().manual_seed(5))
    folder = tmp_path / "teacher"
    folder.mkdir()
    save_file(dict(task.module.state_dict()), folder / "model.safetensors")
    torch.save(task.state_dict(), folder / "task.pt")
    (folder / "metadata.json").write_text(json.dumps({"workload": config.model_dump(mode="json"), "facts": DATA_SPEC}))
    return folder


def settings(teacher: Path, **changes: Any) -> Reflow:
    fields = {"num_pairs": 10, "sampling": Sampling(solver="euler", nfe=3, guidance=2.0)}
    return Reflow(teacher=teacher, **(fields | changes))


def pipeline(teacher: Path, **changes: Any) -> ReflowPipeline:
    return ReflowPipeline(settings(teacher, **changes), Images())  # pyright: ignore[reportArgumentType]


def student_config(teacher: Path, **changes: Any) -> FlowMatchingConfig:
    return tiny_config(reflow=settings(teacher), **changes)


def read(pairs: ReflowPipeline, start_row: int = 0) -> pa.Table:
    return pa.concat_tables(pairs.read_raw("train", start_row))


def test_each_pair_holds_noise_and_the_teachers_image_of_it(teacher: Path):
    pairs = pipeline(teacher)
    batch = pairs.collate(read(pairs))
    student = seeded(FlowMatchingTask)(student_config(teacher), DATA_SPEC, seed=0)
    student.module.eval()
    for i in range(10):
        samples = generate(
            student.module,
            batch["noise"][i : i + 1],
            batch["label"][i : i + 1],
            null_label=3,
            sampling=settings(teacher).sampling,
        )
        assert torch.allclose(batch["image"][i], samples.images[0].clamp(-1, 1), atol=1e-4)
    assert batch["image"].abs().max() <= 1 and batch["noise"].abs().max() > 1
    assert len(batch["noise"].flatten(1).unique(dim=0)) == 10 and batch["label"].unique().numel() > 1


def test_all_rows_are_made_with_the_fixed_schema(teacher: Path):
    pairs = pipeline(teacher)
    table = read(pairs)
    assert table.num_rows == pairs.num_raw_rows()["train"] == 10
    assert table.schema == pairs.schema and list(pairs.num_raw_rows()) == ["train"]
    assert list(pairs.read_raw("test", 0)) == []


@pytest.mark.parametrize(
    "solver", [Sampling(solver="euler", nfe=3), Sampling(solver="dopri5", nfe=None, tolerance=0.05)]
)
@pytest.mark.parametrize("start_row", [4, 6, 9])
def test_making_can_start_again_at_any_row(teacher: Path, solver: Sampling, start_row: int):
    pairs = pipeline(teacher, sampling=solver)
    assert read(pairs, start_row).equals(read(pairs).slice(start_row))


def test_changes_of_images_are_refused_as_pairs_are_not_changed(teacher: Path):
    with pytest.raises(ValueError, match="not what the teacher makes of the noise"):
        student_config(teacher, data=ImageData(horizontal_flip=True))


def test_accelerator_memory_is_freed_after_the_last_pair(teacher: Path, monkeypatch):
    freed: list[bool] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(True))
    tables = pipeline(teacher).read_raw("train", 0)
    next(tables)
    assert not freed
    assert len(list(tables)) == 2 and freed == [True]


def test_many_pairs_on_a_cpu_are_warned_of(teacher: Path, monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(pair_generator, "MANY_PAIRS", 10)
    read(pipeline(teacher))
    assert not caplog.text
    read(pipeline(teacher, num_pairs=11))
    assert "the teacher makes 11 pairs on the CPU" in caplog.text


@pytest.mark.parametrize("is_one_chunk", [True, False])
def test_collating_a_slice_gives_writable_tensors_of_its_rows(teacher: Path, is_one_chunk: bool):
    pairs = pipeline(teacher)
    table = read(pairs).combine_chunks() if is_one_chunk else read(pairs)
    whole, part = pairs.collate(table), pairs.collate(table.slice(3, 5))
    for key in ("image", "noise", "label"):
        assert torch.equal(part[key], whole[key][3:8])
    part["image"].add_(1)
    assert part["image"].shape == (5, 1, 4, 4) and part["image"].dtype == torch.float32
    assert torch.equal(pairs.collate(table)["image"], whole["image"])


def test_the_key_changes_with_the_teacher_and_the_settings(teacher: Path):
    keys = {pipeline(teacher).key, pipeline(teacher, num_pairs=11).key}
    keys.add(pipeline(teacher, sampling=Sampling(solver="heun", nfe=4)).key)
    keys.add(pipeline(teacher, prepared=teacher / "pairs").key)  # another place, the same pairs
    assert pipeline(teacher).key in keys and len(keys) == 3
    assert str(pipeline(teacher, prepared=teacher / "pairs").prepared) == str(teacher / "pairs")
    weights = seeded(FlowMatchingTask)(tiny_config(), DATA_SPEC, seed=9).module.state_dict()
    save_file(dict(weights), teacher / "model.safetensors")
    assert pipeline(teacher).key not in keys


def test_pairs_of_before_there_were_other_steps_keep_their_key(teacher: Path):
    sampling = {"solver": "euler", "nfe": 2, "tolerance": 1e-5, "guidance": 1.0}
    text = [pipeline(teacher).source_hash(), {"num_pairs": 10, "sampling": sampling}, 4]
    digest = hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:16]
    same = pipeline(teacher, num_pairs=10, sampling=Sampling(**sampling))
    assert same.key == f"reflow-{digest}"
    other = Sampling(solver="euler", nfe=2, guidance=1.0, shift=3.0)
    assert pipeline(teacher, num_pairs=10, sampling=other).key != same.key


def test_the_pipeline_can_be_pickled(teacher: Path):
    pairs = pipeline(teacher)
    assert read(pickle.loads(pickle.dumps(pairs))).equals(read(pairs))


def test_the_data_spec_is_the_teachers_and_others_are_refused(teacher: Path):
    assert pipeline(teacher).data_spec() == DATA_SPEC
    others = ReflowPipeline(settings(teacher), Images(height=8))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="trained on other images than `data` describes; different: height"):
        others.data_spec()


@pytest.mark.parametrize(("column", "value"), [("x0", np.nan), ("x1", 1.5), ("x1", np.nan)])
def test_a_stored_value_out_of_range_is_refused_with_its_row(teacher: Path, column: str, value: float):
    pairs = pipeline(teacher)
    table = read(pairs)
    pairs.check(table, data_spec=DATA_SPEC, file=Path("good.parquet"), first_row=0)
    rows = table[column].to_pylist()
    rows[7] = np.full(16, value, np.float32).tobytes()
    position = table.schema.get_field_index(column)
    bad = table.set_column(position, table.schema.field(position), pa.array(rows, table.schema.field(position).type))
    with pytest.raises(ValueError, match=r"bad.parquet: row 107 holds a value out of range"):
        pairs.check(bad, data_spec=DATA_SPEC, file=Path("bad.parquet"), first_row=100)


def test_synthetic_rows_have_the_schema_and_pass_the_check(teacher: Path):
    pairs = pipeline(teacher)
    table = pairs.make_fake_rows(6, seed=1)
    assert table.schema == pairs.schema and table.num_rows == 6
    pairs.check(table, data_spec=DATA_SPEC, file=Path("made.parquet"), first_row=0)
    assert table.equals(pairs.make_fake_rows(6, seed=1)) and not table.equals(pairs.make_fake_rows(6, seed=2))


def test_pairs_are_not_augmented(teacher: Path):
    pairs = pipeline(teacher)
    batch = pairs.collate(pairs.make_fake_rows(3, seed=0))
    augmented = pairs.augment(batch, draws=torch_draws(3, 0))
    assert all(torch.equal(augmented[key], batch[key]) for key in batch)


def test_the_student_starts_at_the_teacher_and_learns_the_pairs(teacher: Path):
    student = seeded(FlowMatchingTask)(student_config(teacher, label_drop_ratio=0.0), DATA_SPEC, seed=99)
    seen: list[torch.Tensor] = []

    class Recorder(nn.Module):
        def forward(self, x: torch.Tensor, t: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            seen.extend([x, t.view(-1, 1, 1, 1)])
            return torch.zeros_like(x)

    pairs = pipeline(teacher)
    batch = pairs.collate(read(pairs))
    loss = student.loss(Recorder(), dict(batch), draws=torch_draws(len(batch["image"]), 0)).loss
    x_t, t = seen
    assert torch.allclose(x_t, (1 - t) * batch["noise"] + t * batch["image"], atol=1e-6)
    assert torch.allclose(loss, (batch["image"] - batch["noise"]).square().mean())


def test_the_student_is_scored_on_the_teachers_real_images(teacher: Path):
    config = student_config(teacher)
    student = seeded(FlowMatchingTask)(config, DATA_SPEC, seed=1)
    known = torch.load(teacher / "task.pt", weights_only=True)["gaussians"]["local"]["mean"]
    assert torch.equal(student.real.gaussians["local"].mean, known)

    def refuse(split: str) -> Any:
        raise AssertionError(f"{split} was read")

    start = start_of(solo())
    begin(student, replace(start, batches=refuse, seed=1))
    metrics = student.evaluator(solo(), CPU).compute(student.module.eval()).metrics
    assert "eval/fid_local" in metrics and "baseline/eval/fid_local" in metrics


def test_missing_teacher_statistics_are_computed_with_a_warning(teacher: Path, caplog: pytest.LogCaptureFixture):
    (teacher / "task.pt").unlink()
    student = seeded(FlowMatchingTask)(student_config(teacher), DATA_SPEC, seed=1)
    begin(student, start_of(solo()))
    assert "compares with the teacher's images" in caplog.text
    assert "local" in student.real.gaussians


def test_a_student_loads_without_its_teacher_but_cannot_train(teacher: Path):
    folder = teacher.with_name("gone")
    student = seeded(FlowMatchingTask)(student_config(folder), DATA_SPEC, seed=1)
    with pytest.raises(ValueError, match=r"no model.safetensors in the teacher's folder .*gone"):
        student.on_train_start(start_of(solo()))


def test_a_teacher_of_another_architecture_is_refused_by_key(teacher: Path):
    network = Network(base_channels=8, channel_multipliers=(1, 2), num_res_blocks=2, num_heads=1, num_groups=4)
    with pytest.raises(ValueError) as caught:
        seeded(FlowMatchingTask)(student_config(teacher, network=network), DATA_SPEC, seed=0)
    message = str(caught.value)
    assert "num_res_blocks: teacher 1, here 2" in message and "num_heads: teacher 2, here 1" in message
    assert "num_groups" not in message


def test_dropout_may_differ_from_the_teachers(teacher: Path):
    network = tiny_config().network.model_copy(update={"dropout": 0.0})
    seeded(FlowMatchingTask)(student_config(teacher, network=network), DATA_SPEC, seed=0)


def test_reflow_refuses_to_pair_noise_and_images_again(teacher: Path):
    with pytest.raises(ValueError, match="`coupling` is optimal_transport"):
        student_config(teacher, coupling="optimal_transport")


def test_published_scores_need_the_teachers_inception_statistics(teacher: Path, tmp_path: Path):
    evaluation = tiny_config().evaluation.model_copy(update={"inception_weights": tmp_path / "weights.pth"})
    student = seeded(FlowMatchingTask)(student_config(teacher, evaluation=evaluation), DATA_SPEC, seed=0)
    student._inception = student._local_extractor(CPU)
    student._inception = type(student._inception)("inception", 64, 3, student._inception.forward)
    with pytest.raises(ValueError, match="knows no Inception statistics"):
        begin(student, start_of(solo()))
