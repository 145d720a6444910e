"""Runs on an object store: pyarrow's S3 client against a server that speaks S3."""

import random
import urllib.request
from collections.abc import Iterator, Sequence

import pytest
import yaml
from moto.server import ThreadedMotoServer

from data_pipelines.storage import folder_writer
from data_pipelines.storage.checksums import verify
from data_pipelines.storage.folder import Folder
from data_pipelines.storage.folder_writer import FolderWriter, new_files
from ray_jobs.cli import main
from ray_jobs.exit_codes import DONE, TERMINATED
from ray_jobs.runs.training import train
from trainables.engine.files.checkpoints import find_checkpoint

pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT")).close()
    yield address
    server.stop()


@pytest.fixture
def bucket(endpoint, monkeypatch, tmp_path) -> str:
    """A storage path; the home folder stays empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{tmp_path.name}?region=us-east-1&endpoint_override={endpoint}"


@pytest.mark.slow
def test_a_run_on_s3_stops_resumes_and_ends_like_one_on_a_disk(toy, bucket, tmp_path, capsys):
    kill_file = str(tmp_path / "kill")
    local = toy(workload={"kill_file": kill_file}, tracking={"run_name": "mine"})
    reference = train(local)
    remote = toy(workload={"kill_file": kill_file}, tracking={"run_name": "mine"}, storage={"path": bucket})
    file = tmp_path / "remote.yaml"
    file.write_text(yaml.safe_dump(remote.model_dump(mode="json")))
    (tmp_path / "kill").write_text("10 SIGTERM")
    assert main(["train", str(file)]) == TERMINATED
    assert find_checkpoint(remote.folder) == ("checkpoints/step_000000011", [])
    assert "manifest.json" in Folder(bucket).names("data/toy-64-None") and not (tmp_path / "home").exists()
    assert main(["train", str(file)]) == DONE
    assert "resumed from" in remote.folder.read("train.log").decode()
    for name in ("metrics.jsonl", "models/aliases.json", "pictures/eval/table/table.csv"):
        assert remote.folder.read(name) == local.folder.read(name), name
    model = f"{reference.final['best_model']}/model.safetensors"
    assert remote.folder.read(model) == local.folder.read(model)
    assert remote.folder.read_json("final_metrics.json") == reference.final
    assert main(["evaluate", str(file), "--checkpoint", "mine"]) == DONE
    assert f"{reference.final['best_metrics']['test/mse']:.4g}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("stops_at", ["history.jsonl.gz", "model.safetensors", "manifest.json"])
def test_an_upload_that_breaks_off_is_no_checkpoint(bucket, monkeypatch, stops_at):
    folder = Folder(bucket) / stops_at

    def save(name: str) -> None:
        with new_files(folder, name) as writer:
            for file in ("history.jsonl.gz", "model.safetensors", "state.pt"):
                writer.write(file, [name.encode()])

    save("checkpoints/step_000000001")
    save("checkpoints/step_000000002")
    assert find_checkpoint(folder) == ("checkpoints/step_000000002", [])
    write, seal = FolderWriter.write, FolderWriter.seal

    def break_off(self: FolderWriter, name: str = "manifest.json", chunks: Sequence[bytes] = ()) -> None:
        if name == stops_at:
            raise ConnectionError("the machine is gone")
        write(self, name, chunks) if chunks else seal(self)

    for method in ("write", "seal"):
        monkeypatch.setattr(FolderWriter, method, break_off)
    for step in (2, 3):  # one that was there before, and a new one
        with pytest.raises(ConnectionError):
            save(f"checkpoints/step_00000000{step}")
    name, damaged = find_checkpoint(folder)
    assert name == "checkpoints/step_000000001"
    assert all("manifest.json cannot be read" in line for line in damaged)
    assert len(damaged) == 2 or stops_at == "history.jsonl.gz"  # of the other nothing at all may have arrived


@pytest.mark.slow
def test_a_large_file_goes_to_s3_piece_by_piece(bucket, monkeypatch):
    monkeypatch.setattr(folder_writer, "FLUSH_BYTES", 12 * 2**20)
    folder, content = Folder(bucket), random.Random(0).randbytes(2**20)
    with new_files(folder, "large") as writer:
        writer.write("file", (content for _ in range(30)))
    assert folder.read("large/file") == content * 30
    with folder.local("large") as files:
        assert verify(files) is None


def test_a_folder_on_s3_is_set_aside_as_a_whole(bucket):
    folder = Folder(bucket)
    with folder.new_folder("checkpoints/step_000000001") as files:
        (files / "state.pt").write_bytes(b"1")
    folder.move("checkpoints", "earlier/001/checkpoints")
    assert folder.names() == ["earlier"]
    assert folder.read("earlier/001/checkpoints/step_000000001/state.pt") == b"1"
