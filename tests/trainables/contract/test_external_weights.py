"""Files of weights in every wrapping, and what is no such file."""

import zipfile
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from data_pipelines.readers.bad_file import BadFileError
from trainables.contract.external_weights import read_weights

WEIGHTS = {"a": torch.arange(3.0), "b": torch.ones(2000)}
OBJECTS = "holds Python objects beside weights, such as a whole module"
CUT = "is damaged or cut short, as a failed download leaves it; get it again"


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model", "model_state_dict"])
@pytest.mark.parametrize("is_zip", [True, False])
def test_weights_are_read_from_every_usual_wrapping(tmp_path, wrapper, is_zip):
    file = tmp_path / "weights.safetensors"  # the name decides nothing
    content = {wrapper: WEIGHTS, "epoch": 3} if wrapper else WEIGHTS
    torch.save(content, file, _use_new_zipfile_serialization=is_zip)
    assert all(torch.equal(tensor, WEIGHTS[name]) for name, tensor in read_weights(file).items())


def test_only_a_large_file_can_want_for_memory(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise MemoryError

    (tmp_path / "weights.pth").write_bytes(b"X\0\0\0\x80")  # a text of 2 GiB, of which nothing is there
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(BadFileError, match=r"weights\.pth: is no file of weights"):
        read_weights(tmp_path / "weights.pth")
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1))
    with pytest.raises(MemoryError):
        read_weights(tmp_path / "weights.pth")


def test_safetensors_are_read_under_any_name(tmp_path):
    save_file(WEIGHTS, tmp_path / "weights.pth")
    assert read_weights(tmp_path / "weights.pth").keys() == WEIGHTS.keys()


def write(file: Path, kind: str) -> None:
    texts = {
        "page": "<!DOCTYPE html>\n<html>",
        "lfs": "version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
        "empty": "",
        "json": '{"error": "not found"}',
    }
    if kind in texts:
        file.write_text(texts[kind])
    elif kind == "zip":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.txt", "x")
    elif kind.startswith("cut"):
        save_file(WEIGHTS, file) if kind == "cut safetensors" else torch.save(WEIGHTS, file)
        file.write_bytes(file.read_bytes()[:3000])
    elif kind == "module":
        torch.save(nn.Linear(2, 2), file)
    else:
        contents = {"nan": {**WEIGHTS, "b": torch.tensor([1.0, torch.nan])}, "list": [1], "names": {"epoch": 3}}
        torch.save(contents[kind], file)


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("page", "is no file of weights: it is a web page, as a failed download leaves one (it begins with <!DOCTYPE"),
        ("lfs", "is no file of weights: it is a pointer of Git LFS, not the file itself (run `git lfs pull`)"),
        ("empty", "is empty; copy it again"),
        ("json", 'is no file of weights: it is of an unknown kind (it begins with \'{"error"'),
        ("zip", "is no file of weights: it is a zip archive (a.txt)"),
        ("cut", CUT),
        ("cut safetensors", CUT),
        ("module", OBJECTS),
        ("nan", "holds values that are not finite, in 1 of 2 tensors (b)"),
        ("list", "holds no weights by name but a list"),
        ("names", "holds no weights by name but a dictionary of epoch"),
    ],
)
def test_what_holds_no_weights_is_refused_in_one_line(tmp_path, kind, fault):
    file = tmp_path / "weights.pth"
    write(file, kind)
    with pytest.raises(ValueError) as caught:
        read_weights(file)
    message = str(caught.value)
    assert message.startswith(f"{file}: {fault}")
    assert "\n" not in message and "weights_only" not in message and "pickle" not in message.lower()
