"""Transaction logs that wandb itself wrote, whole, torn, damaged and foreign."""

import json
import math
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests.fake_wandb.process import run_script, wandb_environment
from tests.ray_jobs.tracking.segments import DefinedMetric, load_segment
from tests.ray_jobs.tracking.wandb_file import BLOCK_BYTES, last_step, read_records

pytestmark = pytest.mark.slow

SCRIPT = """
import numpy, wandb
run = wandb.init(mode="offline", entity="lab", project="digits", id="abc", config={"a": {"b": 1}, "sizes": [1, 2]})
run.define_metric("train/*", step_metric="step")
run.define_metric("eval/a.b", summary="min,max", hidden=True)
for i in range(400):
    run.log({"step": i, "train/loss": 1 / (i + 1), "eval/a.b": i, "n": {"x": {"y": i}}}, step=3 * i, commit=True)
run.log({"bad": float("nan"), "worse": float("-inf"), "text": "\\xe9" * 40000, "image": wandb.Image(
    numpy.zeros((4, 4, 3), numpy.uint8), caption="black")}, step=2000, commit=True)
open("weights.txt", "w").write("hi")
used = wandb.Artifact("input", "dataset")
used.add_file("weights.txt")
run._log_artifact(used, aliases=["raw"], is_user_created=True, use_after_commit=True)
model = wandb.Artifact("net", "model", metadata={"k": 1})
model.add_file("weights.txt")
model.add_reference("file://" + __import__("os").path.abspath("weights.txt"), name="far/ref.txt")
run.log_artifact(model, aliases=["best", "latest"])
run.summary["final"] = {"score": 3}
run.summary["gone"] = 1
del run.summary["gone"]
run.config.update({"later": True})
run.finish(exit_code=CODE)
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished offline run whose records cross several blocks."""
    return write_run(tmp_path_factory.mktemp("run"), SCRIPT.replace("CODE", "0"))


def write_run(folder: Path, script: str) -> Path:
    run_script(script, wandb_environment(folder))
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return file


def test_rows_are_what_was_logged(log: Path):
    rows = load_segment(log).rows
    assert [row["_step"] for row in rows] == [3 * i for i in range(400)] + [2000]
    for i, row in enumerate(rows[:-1]):
        logged = {name: value for name, value in row.items() if not name.startswith("_")}
        assert logged == {"step": i, "train/loss": 1 / (i + 1), "eval/a.b": i, "n": {"x": {"y": i}}}
    assert math.isnan(rows[-1]["bad"])
    assert rows[-1]["worse"] == -math.inf
    assert rows[-1]["text"] == "\xe9" * 40000
    assert log.stat().st_size > 5 * BLOCK_BYTES


def test_all_else_that_a_segment_holds(log: Path):
    segment = load_segment(log)
    assert (segment.run_id, segment.project, segment.entity) == ("abc", "digits", "lab")
    assert log.parent.stat().st_mtime - 120 < segment.start_time <= log.stat().st_mtime
    assert {name: value for name, value in segment.config.items() if name != "_wandb"} == {
        "a": {"b": 1},
        "sizes": [1, 2],
        "later": True,
    }
    assert segment.summary["final"] == {"score": 3}
    assert "gone" not in segment.summary
    assert segment.summary["train/loss"] == 1 / 400
    assert segment.summary["image"]["_type"] == "image-file"
    assert segment.summary["image"]["path"] in segment.files
    assert segment.metrics == [
        DefinedMetric("train/*", step_metric="step", summaries=[], is_hidden=False),
        DefinedMetric("eval/a.b", step_metric="", summaries=["min", "max"], is_hidden=True),
    ]
    assert (segment.is_complete, segment.exit_code) == (True, 0)


def test_artifacts_of_a_segment(log: Path):
    used, model = load_segment(log).artifacts
    assert (used.name, used.type, used.is_input) == ("input", "dataset", True)
    assert (model.name, model.type, model.is_input) == ("net", "model", False)
    assert model.aliases == ["best", "latest"]
    assert model.metadata == {"k": 1}
    assert model.paths == ["far/ref.txt", "weights.txt"]
    assert list(model.references) == ["far/ref.txt"]
    assert Path(model.local_files["weights.txt"]).read_text() == "hi"


def test_a_failed_run_with_values_in_both_encodings(log: Path, tmp_path: Path):
    script = 'import os; os.environ["WANDB_X_HISTORY_VALUE_ENCODING"] = "json,typed"' + SCRIPT.replace("CODE", "3")
    segment = load_segment(write_run(tmp_path, script))
    for row, expected in zip(segment.rows[:-1], load_segment(log).rows[:-1], strict=True):
        assert {**row, "_timestamp": 0, "_runtime": 0} == {**expected, "_timestamp": 0, "_runtime": 0}
    assert last_step(segment.file) == 2000
    assert segment.exit_code == 3


def test_last_step(log: Path):
    assert last_step(log) == 2000
    assert last_step(log, key="step") == 399
    assert last_step(log, key="epoch") is None


def test_a_torn_tail_is_left_out_wherever_it_is_torn(log: Path, tmp_path: Path):
    content, torn = log.read_bytes(), tmp_path / "run-torn.wandb"
    all_rows = load_segment(log).rows
    for size in [7, 8, 14, BLOCK_BYTES - 3, BLOCK_BYTES, BLOCK_BYTES + 3, *range(40000, 41000, 37), len(content) - 1]:
        torn.write_bytes(content[:size])
        segment = load_segment(torn)
        assert not segment.is_complete
        assert repr(segment.rows) == repr(all_rows[: len(segment.rows)])
        steps = [row["_step"] for row in segment.rows]
        assert last_step(torn) == (steps[-1] if steps else None)
    assert repr(load_segment(torn).rows) == repr(all_rows)


@pytest.mark.parametrize("position", [7, 11, 13, 40, 30000, 70000])
def test_reading_ends_at_a_damaged_byte(log: Path, tmp_path: Path, position: int):
    content = bytearray(log.read_bytes())
    content[position] ^= 0x10
    damaged = tmp_path / "run-damaged.wandb"
    damaged.write_bytes(content)
    whole = [record.SerializeToString() for record in read_records(log)]
    read = [record.SerializeToString() for record in read_records(damaged)]
    assert len(read) < len(whole)
    assert read == whole[: len(read)]
    lost = len(b"".join(whole)) - len(b"".join(read))
    assert lost <= len(content) - position + 400, "all before the damaged record is read"


@pytest.mark.parametrize(
    ("kinds", "num_read"),
    [([1, 1], 2), ([1, 2, 3, 4, 1], 3), ([1, 2, 1], 1), ([1, 3, 1], 1), ([1, 4, 1], 1), ([1, 2, 2, 4], 1), ([2, 3], 0)],
)
def test_reading_ends_where_parts_do_not_fit(tmp_path: Path, kinds: list[int], num_read: int):
    record = b"\x08\x07"  # A Record of number 7, which stays one when it is repeated.
    chunks = [struct.pack("<IHB", zlib.crc32(bytes([kind]) + record), len(record), kind) + record for kind in kinds]
    file = tmp_path / "run-parts.wandb"
    file.write_bytes(b":W&B\xe1\xbe\x00" + b"".join(chunks))
    assert [record.num for record in read_records(file)] == [7] * num_read


def test_a_tail_of_zeros_ends_it(log: Path, tmp_path: Path):
    padded = tmp_path / "run-padded.wandb"
    padded.write_bytes(log.read_bytes() + bytes(3 * BLOCK_BYTES))
    assert repr(load_segment(padded).rows) == repr(load_segment(log).rows)


@pytest.mark.parametrize("content", [b"", b":W&B", json.dumps({"a": 1}).encode() * 9, b":W&B\xe1\xbe\x07" + bytes(99)])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes):
    other = tmp_path / "run-other.wandb"
    other.write_bytes(content)
    for read in (load_segment, last_step):
        with pytest.raises(ValueError, match=r"run-other\.wandb: not a W&B transaction log"):
            read(other)


def test_import_needs_no_wandb():
    script = "import sys, tests.ray_jobs.tracking.wandb_file; assert 'wandb' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
