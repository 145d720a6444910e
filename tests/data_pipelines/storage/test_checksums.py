"""A sealed folder: whatever is changed in it is found, and named."""

import json
from pathlib import Path

import pytest

from data_pipelines.storage.checksums import MANIFEST, verify, write_checksums


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "sealed"
    folder.mkdir()
    (folder / "a.bin").write_bytes(bytes(range(200)))
    (folder / "b.bin").write_bytes(b"")
    write_checksums(folder)
    assert verify(folder) is None
    return folder


@pytest.mark.parametrize("name", ["a.bin", "b.bin"])
def test_a_missing_file_is_damage(sealed, name):
    (sealed / name).unlink()
    assert verify(sealed) == f"{name} is missing"


def test_another_size_is_damage(sealed):
    content = (sealed / "a.bin").read_bytes()
    for changed in (content[:-1], content + b"x", b""):
        (sealed / "a.bin").write_bytes(changed)
        assert verify(sealed) == f"a.bin has {len(changed)} bytes instead of 200"


@pytest.mark.parametrize("position", [0, 99, 199])
def test_one_flipped_bit_is_damage(sealed, position):
    content = bytearray((sealed / "a.bin").read_bytes())
    content[position] ^= 1
    (sealed / "a.bin").write_bytes(content)
    assert verify(sealed) == "a.bin does not match its checksum"


def test_a_missing_or_torn_manifest_is_damage(sealed):
    content = (sealed / MANIFEST).read_bytes()
    for length in range(len(content) - 1):
        (sealed / MANIFEST).write_bytes(content[:length])
        assert verify(sealed) == f"{MANIFEST} cannot be read (JSONDecodeError)"
    (sealed / MANIFEST).unlink()
    assert verify(sealed) == f"{MANIFEST} cannot be read (FileNotFoundError)"


def test_a_flipped_bit_in_a_manifest_is_damage_not_an_error(sealed):
    content = (sealed / MANIFEST).read_bytes()
    whole = json.loads(content)
    for position in range(len(content)):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            (sealed / MANIFEST).write_bytes(flipped)
            damage = verify(sealed)
            if damage is None:  # only where JSON does not mind, between the values
                assert json.loads(flipped) == whole


@pytest.mark.parametrize("content", ["[]", "3", "null", '{"files": []}', '{"files": {"a.bin": 3}}', '{"files": null}'])
def test_a_manifest_of_another_shape_is_damage(sealed, content):
    (sealed / MANIFEST).write_text(content)
    assert verify(sealed) is not None
