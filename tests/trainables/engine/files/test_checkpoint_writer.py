"""Checkpoints written beside the training: of one step each, one at a time, and none is promised that is not whole."""

import threading
from collections.abc import Iterator

import pytest
import torch

from data_pipelines.storage.checksums import verify
from data_pipelines.storage.folder import Folder
from trainables.engine.files import checkpoint_writer, checkpoints
from trainables.engine.files.checkpoint_writer import CheckpointWriter, HostCopy, list_plain
from trainables.engine.files.checkpoints import Checkpoint, deleted_by_nobody, load_checkpoint

NAMES = [f"checkpoints/step_00000000{step}" for step in range(10)]


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(str(tmp_path))


class Gate:
    """Holds back every writing until it is opened."""

    def __init__(self) -> None:
        self.is_open, self.has_begun = threading.Event(), threading.Event()

    def write(self, *arguments, **settings) -> str:
        self.has_begun.set()
        assert self.is_open.wait(20)
        return checkpoints.write_checkpoint(*arguments, **settings)


@pytest.fixture
def gate(monkeypatch) -> Iterator[Gate]:
    """Lets small states be written beside the training too, and slowly."""
    gate = Gate()
    monkeypatch.setattr(checkpoint_writer, "MIN_BYTES_BESIDE", 0)
    monkeypatch.setattr(checkpoint_writer, "write_checkpoint", gate.write)
    yield gate
    gate.is_open.set()


def make_state(value: float = 0.0) -> Checkpoint:
    state = {"moments": {0: torch.full((3,), value)}, "position": {"latest": {"loss": value}}}
    return Checkpoint({"w": torch.full((2,), value)}, {"w": torch.full((2,), value)}, state, b"rows")


def make_writer(folder: Folder, keep: int = 2, *, is_beside: bool = True) -> CheckpointWriter:
    return CheckpointWriter(folder, keep, deleted_by_nobody, is_beside=is_beside)


def test_the_content_is_that_of_its_step(folder, gate):
    writer, state, metadata = make_writer(folder), make_state(1.0), {"metrics": {"loss": 1.0}}
    writer.save(1, state, metadata)
    assert gate.has_begun.wait(20)
    for tensor in (state.model["w"], (state.ema or {})["w"], state.state["moments"][0]):
        tensor.add_(1.0)
    state.state["position"]["latest"]["loss"] = metadata["metrics"]["loss"] = 2.0
    gate.is_open.set()
    writer.wait()
    found = load_checkpoint(folder, NAMES[1])
    for tensor in (found.model["w"], (found.ema or {})["w"], found.state["moments"][0]):
        assert torch.equal(tensor, torch.ones_like(tensor))
    assert found.state["position"]["latest"]["loss"] == 1.0 and found.history == b"rows"
    assert folder.read_json(f"{NAMES[1]}/metadata.json") == {"metrics": {"loss": 1.0}}


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_later_one_takes_the_place_of_none(folder, keep):
    """A resumed run may save at other steps than before, and comes to the damaged one later."""
    writer = make_writer(folder, keep)
    for step in (1, 2, 5):
        writer.save(step, make_state(), {})
        if step == 5:
            folder.delete(f"{NAMES[5]}/manifest.json")
    writer = make_writer(folder, keep)
    for step in (3, 4):
        writer.save(step, make_state(), {})
    assert [f"checkpoints/{name}" for name in folder.names("checkpoints")] == [*NAMES[5 - keep : 5], NAMES[5]]


def test_a_name_is_given_only_once_its_folder_is_sealed(folder, gate):
    writer = make_writer(folder)
    writer.save(1, make_state(), {})
    assert gate.has_begun.wait(20)
    assert writer.take() == [] and folder.names("checkpoints") == []
    gate.is_open.set()
    writer.wait()
    assert writer.take() == [NAMES[1]] and writer.take() == []
    with folder.local(NAMES[1]) as files:
        assert verify(files) is None


def test_the_next_save_waits_and_says_so_once(folder, gate):
    writer = make_writer(folder)
    assert writer.save(1, make_state(1.0), {}) == []
    saved: list[list[str]] = []
    waiting = threading.Thread(target=lambda: saved.append(writer.save(2, make_state(2.0), {})))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive() and folder.names("checkpoints") == []
    gate.is_open.set()
    waiting.join()
    assert len(saved[0]) == 1 and "the checkpoint of step 2 waits until the one before is written" in saved[0][0]
    gate.is_open.clear()
    opener = threading.Timer(0.2, gate.is_open.set)
    opener.start()
    assert writer.save(3, make_state(3.0), {}) == []
    writer.wait()
    assert [load_checkpoint(folder, NAMES[step]).model["w"][0].item() for step in (2, 3)] == [2.0, 3.0]


@pytest.mark.parametrize("is_small", [True, False])
def test_small_and_awaited_states_are_complete_at_once(folder, monkeypatch, is_small):
    monkeypatch.setattr(checkpoint_writer, "MIN_BYTES_BESIDE", 10**6 if is_small else 0)
    writer = make_writer(folder, keep=1, is_beside=is_small)
    for step in (1, 2):
        writer.save(step, make_state(), {})
        assert writer.take() == [NAMES[step]]
        assert folder.names("checkpoints") == [NAMES[step].partition("/")[2]]


def test_the_error_of_the_writing_is_raised_where_it_is_asked_for(folder, gate, monkeypatch):
    def fail(*arguments) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_writer, "write_checkpoint", fail)
    asks = (lambda w: w.wait(), lambda w: w.save(2, make_state(), {}), lambda w: w.__exit__(None, None, None))
    for ask in asks:
        writer = make_writer(folder)
        writer.save(1, make_state(), {})
        with pytest.raises(OSError, match="No space left"):
            ask(writer)
        assert writer.take() == []


def test_a_context_waits_for_the_end_of_the_writing(folder, gate, caplog):
    for step, error in enumerate((None, RuntimeError("of the loop")), 1):
        gate.is_open.clear()
        opener = threading.Timer(0.2, gate.is_open.set)
        try:
            with make_writer(folder) as writer:
                writer.save(step, make_state(), {})
                opener.start()
                if error:
                    raise error
        except RuntimeError as caught:
            assert caught is error
        assert folder.exists(f"{NAMES[step]}/manifest.json")


def test_an_error_of_the_loop_is_not_hidden_by_one_of_the_writing(folder, gate, monkeypatch, caplog):
    def fail(*arguments) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_writer, "write_checkpoint", fail)
    with pytest.raises(RuntimeError, match="of the loop"), make_writer(folder) as writer:
        writer.save(1, make_state(), {})
        raise RuntimeError("of the loop")
    assert "the last checkpoint could not be written: [Errno 28] No space left on device" in caplog.text


def test_who_interrupts_does_not_wait(folder, gate):
    with pytest.raises(KeyboardInterrupt), make_writer(folder) as writer:
        writer.save(1, make_state(), {})
        raise KeyboardInterrupt
    assert folder.names("checkpoints") == []


def test_old_checkpoints_are_deleted_when_the_new_one_is_complete(folder, gate):
    gate.is_open.set()
    writer = make_writer(folder, keep=2)
    for step in (1, 2, 3):
        writer.save(step, make_state(), {})
        writer.wait()
    assert folder.names("checkpoints") == [name.partition("/")[2] for name in NAMES[2:4]]


def test_an_old_checkpoint_that_cannot_be_deleted_is_an_error(folder, monkeypatch):
    def fail(self, name: str) -> None:
        raise PermissionError(f"{name} cannot be deleted")

    writer = make_writer(folder, keep=1)
    writer.save(1, make_state(), {})
    monkeypatch.setattr(Folder, "delete", fail)
    with pytest.raises(PermissionError, match=f"{NAMES[1]} cannot be deleted"):
        writer.save(2, make_state(), {})


def test_a_copy_uses_the_memory_of_the_one_before():
    copier = HostCopy()
    first = copier.of(make_state(1.0))
    place = first.state["moments"][0].data_ptr()
    second = copier.of(make_state(2.0))
    assert second.state["moments"][0].data_ptr() == place and second.state["moments"][0][0] == 2.0
    assert copier.num_bytes == 4 * (2 + 2 + 3)


def test_a_copy_keeps_strides_and_follows_new_shapes():
    copier, images = HostCopy(), torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    for tensor in (images, images[:1].clone(), torch.randn(4, 3).t(), torch.eye(2).to_sparse()):
        found = copier.of(Checkpoint({"w": tensor}, None, {}, b"")).model["w"]
        assert torch.equal(found.to_dense(), tensor.to_dense()) and found.layout == tensor.layout
        if tensor.layout == torch.strided:
            assert found.stride() == tensor.stride() and found.data_ptr() != tensor.data_ptr()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_copy_waits_for_the_work_of_the_device():
    tensor = torch.zeros(2**26, device="cuda")
    for _ in range(50):
        tensor += 1
    copied = HostCopy().of(Checkpoint({"w": tensor}, None, {}, b""))
    tensor += 1
    assert bool((copied.model["w"] == 50).all()) and copied.model["w"].device.type == "cpu"


def test_the_first_copy_uses_the_memory_that_was_reserved(monkeypatch):
    images = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    state = Checkpoint({"w": torch.randn(8, 8)}, None, {"moments": {0: images}}, b"")
    copier = HostCopy()
    copier.reserve(list_plain(state))
    assert not copier._buffers  # a small state is not worth it
    monkeypatch.setattr(checkpoint_writer, "MIN_BYTES_BESIDE", 0)
    copier.reserve(list_plain(state))
    places = {name: buffer.data_ptr() for name, buffer in copier._buffers.items()}
    copied = copier.of(state)
    assert {copied.model["w"].data_ptr(), copied.state["moments"][0].data_ptr()} == set(places.values())
    assert torch.equal(copied.model["w"], state.model["w"]) and torch.equal(copied.state["moments"][0], images)
