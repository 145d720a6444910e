"""Whole files of each kind that readers take, made by code, with the function that reads each."""

import gzip
import json
import pickle
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file

from data_pipelines.contract.pipeline import Manifest
from data_pipelines.heart_sounds.datasets.circor import read_states
from data_pipelines.heart_sounds.datasets.physionet2016 import read_physionet2016
from data_pipelines.images.cifar10 import find_cifar10
from data_pipelines.images.config import ImageData
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.manifest import load_manifest
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.shard_files import load_shard
from data_pipelines.readers.csv_table import read_columns
from data_pipelines.readers.image_file import load_image
from data_pipelines.readers.image_shape import ImageShape
from data_pipelines.readers.sound_file import read_sound
from data_pipelines.readers.wfdb_header import read_heart_sound
from data_pipelines.storage.folder import Folder
from data_pipelines.video.bouncing_digits import read_idx_images
from data_pipelines.video.moving_mnist import open_sequences
from data_pipelines.video.video_files import list_video_files
from ray_jobs.report.record.run_record import gather_run
from ray_jobs.settings.experiment import check_experiment
from trainables.contract.external_weights import read_weights
from trainables.engine.files.checkpoints import Checkpoint, find_checkpoint, load_checkpoint, write_checkpoint


@dataclass(frozen=True)
class Sample:
    """A file of one kind."""

    name: str
    """File name; its beginning is the reader's."""
    make: Callable[[Path], object]
    """Writes the file, and others that belong to it, into the file's folder."""
    read: Callable[[Path], object]
    """Reads the file; returns what must not change in number, for example the count of rows."""
    reader: str
    num_rows: bool = True
    """Whether a damage that is not refused must leave the count of rows as it was."""


def _image(mode: str, ending: str, **options: Any) -> Sample:
    def make(path: Path) -> None:
        image = Image.fromarray(_noise(24, 20, 3)).convert(mode)
        image.save(path, **options)

    return Sample(f"{mode}{ending}", make, _read_image, "images")


def _tiff(name: str, dtype: str, **options: Any) -> Sample:
    def make(path: Path) -> None:
        tifffile.imwrite(path, _noise(32, 32, 3).astype(dtype), photometric="rgb", **options)

    return Sample(f"{name}.tif", make, _read_image, "images")


def _read_image(path: Path) -> object:
    return load_image(path, ImageShape(3, 16, 16)).shape


def _noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _sound(name: str, rate: int = 4000, **options: Any) -> Sample:
    def make(path: Path) -> None:
        soundfile.write(path, 0.5 * np.sin(np.arange(1000) / 9), rate, **options)

    return Sample(name, make, lambda path: len(read_sound(path).samples) > 0, "sounds")


def _video(name: str, codec: str) -> Sample:
    def make(path: Path) -> None:
        import av

        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"  # type: ignore[union-attr]
            for number in range(10):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 20 * number, np.uint8))
                container.mux(stream.encode(frame))  # type: ignore[union-attr]
            container.mux(stream.encode(None))  # type: ignore[union-attr]

    return Sample(name, make, _read_video, "videos")


def _read_video(path: Path) -> object:
    clips = [clip for found in list_video_files(path).clips.values() for clip in found]
    for clip in clips:
        if clip.num_frames:
            clip.read(ImageShape(3, 16, 16))
    return sum(clip.num_frames for clip in clips) > 0


def _text(name: str, content: str, read: Callable[[Path], object], reader: str, *, num_rows: bool = False) -> Sample:
    return Sample(name, lambda path: path.write_text(content), read, reader, num_rows)


def _read_reference(path: Path) -> object:
    for number in range(3):
        _write_wav(path.with_name(f"c{number}.wav"))
    return len(read_physionet2016(path.parent, None))


def _write_wav(path: Path) -> None:
    if not path.exists():
        soundfile.write(path, np.zeros(100), 4000)


def _make_wfdb(path: Path) -> None:
    path.write_text("r 2 2000 50\nr.dat 16 1000 16 0 0 0 0 PCG\nr.dat 16 1000 16 0 0 0 0 ECG\n# normal\n")
    np.arange(100, dtype="<i2").tofile(path.with_name("r.dat"))


def _make_cifar(path: Path) -> None:
    batch = {b"data": _noise(6, 3072), b"labels": list(range(6))}
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        path.with_name(name).write_bytes(pickle.dumps(batch, protocol=2))
    names = {b"label_names": [b"airplane", *(f"c{number}".encode() for number in range(9))]}
    path.with_name("batches.meta").write_bytes(pickle.dumps(names, protocol=2))


def _read_cifar(path: Path) -> object:
    source = find_cifar10(path.parent)
    return [len(part.labels) for split in ("train", "test") for part in source.read(split, 0)]  # type: ignore[arg-type]


def _make_idx(path: Path) -> None:
    content = struct.pack(">4i", 2051, 12, 28, 28) + _noise(12, 28, 28).tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _make_sequences(path: Path) -> None:
    np.save(path, _noise(20, 4, 16, 16))


def _pipeline(path: Path) -> ImagePipeline:
    return ImagePipeline(ImageData())


def _make_prepared(path: Path) -> None:
    prepare(_pipeline(path), Folder(str(path.parent)), rows_per_shard=1000)


def _read_manifest(path: Path) -> object:
    return load_manifest(Folder(str(path.parent)), _pipeline(path)).num_rows("train") >= 0


def _read_shard(path: Path) -> object:
    manifest = Manifest.model_validate_json(path.with_name("manifest.json").read_bytes())
    [shard] = [shard for shards in manifest.splits.values() for shard in shards if shard.name == path.name]
    return load_shard(Folder(str(path.parent)), shard, _pipeline(path), data_spec=manifest.data_spec).num_rows


def _make_weights(path: Path) -> None:
    torch.save({"state_dict": {"module.conv1.weight": torch.ones(4, 3), "fc.bias": torch.zeros(2)}}, path)


def _read_weights(path: Path) -> object:
    return len(read_weights(path))


def _make_checkpoint(path: Path) -> None:
    state = {"position": {"epoch": 1, "step": 3}}
    history = gzip.compress(b"{}", mtime=0)
    checkpoint = Checkpoint(model={"a": torch.ones(3)}, ema=None, state=state, history=history)
    write_checkpoint(Folder(str(path.parents[2])), 3, checkpoint)


def _read_checkpoint(path: Path) -> object:
    folder = Folder(str(path.parents[2]))
    name, damaged = find_checkpoint(folder)
    if name is None:
        raise ValueError(damaged[0])
    return len(load_checkpoint(folder, name).model)


def _make_record(path: Path) -> None:
    run = {"name": "r", "wandb_id": "0" * 10, "started": "2026-01-01T00:00:00", "group": None, "job_type": "train"}
    path.with_name("run.json").write_text(json.dumps({**run, "tags": []}))
    path.with_name("experiment.json").write_text(json.dumps({"workload": {"name": "toy"}, "training": {"epochs": 1}}))
    path.with_name("train.log").write_text("2026-01-01 00:00:00,000 INFO run r in x\n")
    rows = [{"step": step, "epoch": 1, "train/loss": 1.0 / step} for step in range(1, 9)]
    path.with_name("metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _read_record(path: Path) -> object:
    return gather_run(Folder(str(path.parent))).run_id


TABLE = 'name,label,note\na1,1,\nb2,-1,x\nc3,1,"y, z"\n'
EXPERIMENT = """extends: {base}
tracking:
  run_name: "a b"
training:
  epochs: 3 # few
  batch_size: 16
"""
BASE = Path(__file__).resolve().parents[2] / "ray_jobs/experiments/demo/flow_matching.yaml"

SAMPLES: Sequence[Sample] = (
    _image("RGB", ".png"), _image("P", ".png"), _image("I;16", ".png"), _image("RGBA", ".png"), _image("L", ".jpg"),
    _image("RGB", ".jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0"),
    _image("RGB", ".jpeg", progressive=True), _image("RGB", ".bmp"), _image("RGB", ".tif", compression="tiff_lzw"),
    _tiff("tiled", "uint8", tile=(16, 16)), _tiff("planar", "uint8", planarconfig="separate"),
    _tiff("sixteen", "uint16"), _tiff("deflated", "uint8", compression="zlib", predictor=True),
    _sound("pcm.wav"), _sound("float.wav", subtype="FLOAT"), _sound("wide.wav", format="WAVEX"),
    _sound("adpcm.wav", subtype="IMA_ADPCM"), _sound("a.flac"), _sound("a.ogg"), _sound("a.aiff"),
    _sound("a.mp3", rate=8000),
    _video("a.mp4", "mpeg4"), _video("a.mkv", "mpeg4"), _video("a.avi", "mpeg4"),
    _text("table.csv", TABLE, lambda path: len(read_columns(path, "name", "label")), "tables"),
    _text("training-c/REFERENCE.csv", "c0,1\nc1,-1\nc2,1\n", _read_reference, "tables"),
    _text("a.tsv", "0\t0.5\t1\n0.5\t0.9\t2\n0.9\t1.2\t3\n", lambda path: read_states(path) is None, "tables"),
    Sample("r.hea", _make_wfdb, lambda path: len(read_heart_sound(path).samples), "WFDB"),
    Sample("cifar-10-batches-py/data_batch_2", _make_cifar, _read_cifar, "pickles"),
    Sample("cifar-10-batches-py/batches.meta", _make_cifar, _read_cifar, "pickles"),
    Sample("mnist_test_seq.npy", _make_sequences, lambda path: open_sequences(path).shape[1], "npy"),
    Sample("images-idx3-ubyte", _make_idx, lambda path: len(read_idx_images(path)), "idx"),
    Sample("images-idx3-ubyte.gz", _make_idx, lambda path: len(read_idx_images(path)), "idx"),
    _text("e.yaml", EXPERIMENT.format(base=BASE), lambda path: check_experiment(path).run_id != "", "YAML"),
    Sample("weights.pth", _make_weights, _read_weights, "weights"),
    Sample("w.safetensors", lambda path: save_file({"a": torch.ones(3)}, path), _read_weights, "weights"),
    Sample("manifest.json", _make_prepared, _read_manifest, "prepared folders"),
    Sample("checkpoints/step_000000003/state.pt", _make_checkpoint, _read_checkpoint, "checkpoints"),
    Sample("checkpoints/step_000000003/model.safetensors", _make_checkpoint, _read_checkpoint, "checkpoints"),
    Sample("checkpoints/step_000000003/manifest.json", _make_checkpoint, _read_checkpoint, "checkpoints"),
    Sample("metrics.jsonl", _make_record, _read_record, "records"),
    Sample("train.log", _make_record, _read_record, "records"),
    Sample("experiment.json", _make_record, _read_record, "records", num_rows=False),
    Sample("run.json", _make_record, _read_record, "records", num_rows=False),
    Sample("train-00000.parquet", _make_prepared, _read_shard, "prepared folders"),
)  # fmt: skip
