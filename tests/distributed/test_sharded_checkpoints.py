"""Checkpoints of two ranks that write their shards: complete only once both are, and read as those of one rank."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from data_pipelines.storage.atomic_file import TEMPORARY
from data_pipelines.storage.checksums import verify
from data_pipelines.storage.folder import Folder
from tests.distributed.launch import spawn_ranks
from tests.s3_server import set_credentials, started_s3_server
from trainables.engine.files import checkpoint_writer, sharded_checkpoint_writer
from trainables.engine.files.checkpoints import (
    Checkpoint,
    deleted_by_nobody,
    find_checkpoint,
    load_checkpoint,
    write_files,
)
from trainables.engine.files.sharded_checkpoint_writer import ShardedCheckpointWriter
from trainables.engine.files.tensor_files import Shard, split_tensors
from trainables.engine.process.collectives import ProcessGroup

pytestmark = pytest.mark.slow

WEIGHT = torch.arange(15.0).reshape(5, 3)
STEPS = [f"checkpoints/step_00000000{step}" for step in range(5)]


def part_of(rank: int, factor: float) -> Shard:
    """Three of five rows, or the other two."""
    rows = slice(0, 3) if rank == 0 else slice(3, 5)
    return Shard(factor * WEIGHT[rows].reshape(-1), 9 * rank, [5, 3])


def state_of(rank: int) -> Checkpoint:
    own, norm = part_of(rank, 1.0), torch.ones(2)
    moments = {0: {"exp_avg": part_of(rank, 2.0), "step": torch.tensor(4.0)}}
    return Checkpoint({"w": own, "norm": norm}, {"w": part_of(rank, 3.0), "norm": norm}, {"adam": moments}, b"rows")


def _work(rank: int, path: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=2)
    checkpoint_writer.MIN_BYTES_BESIDE = 0
    folder, group = Folder(Path(path, "uri").read_text()), ProcessGroup(torch.device("cpu"))
    may_go = threading.Event()
    writer = ShardedCheckpointWriter(folder, 2, deleted_by_nobody, group, is_beside=True)
    found: dict[str, Any] = {}

    def write_late(*arguments: Any) -> None:
        assert rank == 0 or may_go.wait(20)
        write_files(*arguments)

    def fail(*arguments: Any) -> None:
        if rank == 1:
            raise OSError(28, "No space left on device")
        write_files(*arguments)

    sharded_checkpoint_writer.write_files = write_late
    writer.reserve(state_of(rank))
    state = state_of(rank)
    writer.save(1, state, {"metrics": {}})
    state.model["w"].part.zero_()
    group.gather_values(None)
    found["too early"] = [writer.take(), find_checkpoint(folder)[0]]
    may_go.set()
    writer.wait()
    group.gather_values(None)
    found["named"] = [writer.take(), writer.take(), folder.names(STEPS[1])]
    for step in (2, 3):
        writer.save(step, state_of(rank), {})
        writer.wait()
    group.gather_values(None)
    found["kept"] = folder.names("checkpoints")
    sharded_checkpoint_writer.write_files = fail
    writer.save(4, state_of(rank), {})
    try:
        writer.wait()
    except OSError as error:
        found["error"] = str(error)
    group.gather_values(None)
    found["complete"] = find_checkpoint(folder)[0]
    found["left"] = len(list(Path(path).rglob(f"{TEMPORARY}*")))
    torch.save(found, f"{path}/{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def _lose_a_rank(rank: int, path: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{path}/store", rank=rank, world_size=2)
    checkpoint_writer.MIN_BYTES_BESIDE = 0
    folder, group = Folder(Path(path, "uri").read_text()), ProcessGroup(torch.device("cpu"))

    def die(*arguments: Any) -> None:
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        write_files(*arguments)

    with ShardedCheckpointWriter(folder, 2, deleted_by_nobody, group, is_beside=True) as writer:
        writer.save(1, state_of(rank), {})
        writer.wait()
        sharded_checkpoint_writer.write_files = die
        writer.save(2, state_of(rank), {})


@pytest.mark.parametrize("kind", ["disk", "S3"])
def test_a_rank_that_is_lost_while_it_writes_leaves_the_one_before(tmp_path, monkeypatch, kind):
    set_credentials(monkeypatch)
    with started_s3_server() as server:
        (tmp_path / "uri").write_text(server.uri("run") if kind == "S3" else str(tmp_path / "run"))
        spawn_ranks(_lose_a_rank, str(tmp_path))
        folder = Folder((tmp_path / "uri").read_text())
        folder.remove_temporary("checkpoints")
        name, damaged = find_checkpoint(folder)
        assert (
            name is not None and name == STEPS[1] and len(damaged) == (kind == "S3")
        )  # there the parts appear one by one
        assert torch.equal(load_checkpoint(folder, name).model["w"], WEIGHT)


@pytest.fixture(scope="module", params=["disk", "S3"])
def place(request, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of what the ranks find, and of the URI of the run's folder."""
    path = tmp_path_factory.mktemp("ranks")
    with started_s3_server() as server, pytest.MonkeyPatch.context() as patch:
        set_credentials(patch)
        (path / "uri").write_text(server.uri("run") if request.param == "S3" else str(path / "run"))
        spawn_ranks(_work, str(path))
        yield path


@pytest.fixture
def folder(place) -> Folder:
    return Folder((place / "uri").read_text())


@pytest.fixture(params=[0, 1])
def found(place, request) -> dict[str, Any]:
    """What each rank finds."""
    return torch.load(place / f"{request.param}.pt", weights_only=True)


def test_there_is_no_checkpoint_until_all_ranks_have_written(found):
    assert found["too early"] == [[], None]
    assert found["named"][:2] == [[STEPS[1]], []]


def test_each_rank_writes_files_of_its_own(found):
    groups = ("ema", "model", "state")
    parts = [f"{group}{rank}.safetensors" for group in groups for rank in ("", ".rank_1_part_1")]
    assert found["named"][2] == sorted([*parts, "history.jsonl.gz", "manifest.json", "metadata.json", "state.pt"])


def test_old_ones_are_deleted(found):
    assert found["kept"] == ["step_000000002", "step_000000003"]


def test_every_rank_raises_the_error_of_one_and_names_it(found):
    words = "the checkpoint could not be written by worker 1: OSError: [Errno 28] No space left on device"
    assert found["error"] == words
    assert found["complete"] == STEPS[3] and found["left"] == 0


def test_what_two_ranks_wrote_is_read_as_one(folder):
    """And no file that somebody puts beside it later."""
    assert find_checkpoint(folder)[0] == STEPS[3]
    late = {"w": Shard(torch.full((3,), 7.0), 0, [5, 3])}
    for name, part in split_tensors("model", late, 2).items():
        folder.write(f"{STEPS[3]}/{name}", b"".join(part.chunks()))
    with folder.local(STEPS[3]) as files:
        assert verify(files) is None
    read = load_checkpoint(folder, STEPS[3])
    moments = read.state["adam"][0]
    assert torch.equal(read.model["w"], WEIGHT) and torch.equal((read.ema or {})["w"], 3 * WEIGHT)
    assert torch.equal(moments["exp_avg"], 2 * WEIGHT) and moments["step"] == 4.0
    assert torch.equal(read.model["norm"], torch.ones(2)) and read.history == b"rows"
