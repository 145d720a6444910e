"""Videos whose copy was interrupted, in every container that says how long it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_pipelines.readers.video_container import check_is_whole
from data_pipelines.video.video_files import list_video_files

KINDS = {"mkv": "ffv1", "webm": "libvpx", "avi": "ffv1", "mp4": "mpeg4", "mov": "mpeg4"}


def save_video(path: Path, **options: Any) -> bytes:
    av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")
    noise = np.random.default_rng(0).integers(0, 256, (8, 48, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w", **options) as container:
        stream = container.add_stream(KINDS[path.suffix[1:]], rate=10)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "bgr0" if stream.name == "ffv1" else "yuv420p"
        for frame in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


@pytest.mark.parametrize("missing", [1, 500, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_off_file_is_named_with_both_sizes(tmp_path, kind, missing):
    file = tmp_path / f"a.{kind}"
    content = save_video(file, options={"movflags": "faststart"} if kind in ("mp4", "mov") else {})
    check_is_whole(file)
    left = int(len(content) * missing) if missing < 1 else len(content) - missing
    file.write_bytes(content[:left])
    with pytest.raises(ValueError, match=rf"a\.{kind}: is cut off: it has {left:,} of at least {len(content):,} bytes"):
        list_video_files(tmp_path)


@pytest.mark.parametrize("size_of_box", [b"\0\0\0\0mdat", b"\0\0\0\1mdat" + (17).to_bytes(8, "big") + b"x"])
def test_boxes_up_to_the_end_and_large_ones_are_known(tmp_path, size_of_box):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"\0\0\0\x0cftypisom" + size_of_box)
    check_is_whole(file)
    file.write_bytes(b"\0\0\0\x0cftypisom\0\0\0\1mdat" + (18).to_bytes(8, "big") + b"x")
    with pytest.raises(ValueError, match="29 of at least 30 bytes"):
        check_is_whole(file)


def test_a_recording_that_never_said_its_size_is_taken(tmp_path):
    file = tmp_path / "live.mkv"
    file.write_bytes(b"\x1a\x45\xdf\xa3\x81x" + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"frames")
    check_is_whole(file)


@pytest.mark.parametrize("kind", ["mkv", "avi", "mp4"])
@pytest.mark.parametrize("padding", [b"\0" * 40, b"\xfe" * 40, b"junk" * 20])
def test_what_follows_a_whole_file_does_not_matter(tmp_path, kind, padding):
    file = tmp_path / f"a.{kind}"
    file.write_bytes(save_video(file) + padding)
    check_is_whole(file)


def test_a_box_of_an_unknown_kind_is_stepped_over(tmp_path):
    file = tmp_path / "a.mp4"
    file.write_bytes(b"\0\0\0\x0cftypisom" + b"\0\0\0\x0abeamxx" + b"\0\0\0\x09mdat")
    with pytest.raises(ValueError, match="30 of at least 31 bytes"):
        check_is_whole(file)


@pytest.mark.parametrize("content", [b"", b"GIF", b"this is no video at all"])
def test_of_other_files_nothing_is_said(tmp_path, content):
    (tmp_path / "a.gif").write_bytes(content)
    check_is_whole(tmp_path / "a.gif")
