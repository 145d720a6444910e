"""Damage and transparency of videos that decoders pass over without a word."""

import logging
import re
import struct
from pathlib import Path

import numpy as np
import pytest

from data_pipelines.readers.bad_file import BadFileError
from data_pipelines.video.video_decoder import VideoDecoder
from data_pipelines.video.video_facts import read_facts

av = pytest.importorskip("av", reason="PyAV is not installed: pip install quintet[video]")


def save(path: Path, codec: str, layout: str, count: int = 12, **options: str) -> bytearray:
    """Write noise, 48x32."""
    noise = np.random.default_rng(0).integers(0, 256, (count, 32, 48, 4), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 48, 32, layout
        for pixels in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgba")))
        container.mux(stream.encode())
    return bytearray(path.read_bytes())


def chunk(content: bytearray, number: int) -> tuple[int, int]:
    """Return place and length of an AVI's frame, with its head."""
    place = content.find(b"movi") + 4
    for _ in range(number):
        (size,) = struct.unpack("<I", content[place + 4 : place + 8])
        place += 8 + size + size % 2
    (size,) = struct.unpack("<I", content[place + 4 : place + 8])
    return place, 8 + size + size % 2


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_transparency_beside_the_pictures_is_named(tmp_path, caplog, codec):
    save(tmp_path / "a.webm", codec, "yuva420p", 12, **{"auto-alt-ref": "0"})
    with caplog.at_level(logging.WARNING):
        next(VideoDecoder(tmp_path / "a.webm"))
    assert "a.webm: its transparency is not read; its colours are used as they lie" in caplog.text


def test_without_transparency_nothing_is_said(tmp_path, caplog):
    save(tmp_path / "a.webm", "libvpx-vp9", "yuv420p")
    assert len(list(VideoDecoder(tmp_path / "a.webm"))) == 12 and not caplog.text


def test_an_avi_that_lost_frames_is_refused(tmp_path):
    content = save(tmp_path / "a.avi", "mjpeg", "yuvj420p")
    assert read_facts(tmp_path / "a.avi").num_frames == 12
    place, _ = chunk(content, 5)
    content[place - 150 : place + 150] = bytes(300)  # with the head of a frame
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(BadFileError) as caught:
        read_facts(tmp_path / "a.avi")
    words = "only 11 of its 12 frames can be decoded; copy it again, or remove it"
    assert str(caught.value) == f"{tmp_path / 'a.avi'}: {words}"


def test_an_avi_frame_without_bytes_is_no_lost_one(tmp_path):
    content = save(tmp_path / "a.avi", "mjpeg", "yuvj420p")
    place, length = chunk(content, 5)
    content[place : place + 16] = b"00dc" + bytes(4) + b"JUNK" + struct.pack("<I", length - 16)
    index = content.find(b"idx1") + 8 + 16 * 5
    content[index + 12 : index + 16] = bytes(4)  # it repeats the frame before
    (tmp_path / "a.avi").write_bytes(content)
    assert read_facts(tmp_path / "a.avi").num_frames == 11


def test_a_wrong_checksum_of_ffv1_is_refused_each_time(tmp_path):
    content = save(tmp_path / "a.mkv", "ffv1", "yuv420p", level="3", slicecrc="1")
    level = av.logging.get_level()
    assert len(list(VideoDecoder(tmp_path / "a.mkv"))) == 12
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    (tmp_path / "a.mkv").write_bytes(content)
    for _ in range(2):
        with pytest.raises(
            BadFileError, match=r"a\.mkv: is damaged after its first [567] frames \(a checksum is wrong"
        ):
            list(VideoDecoder(tmp_path / "a.mkv"))
    assert av.logging.get_level() == level


def test_a_matroska_file_whose_rest_is_passed_over_is_named(tmp_path, caplog):
    content = save(tmp_path / "a.mkv", "mjpeg", "yuvj420p", 60)
    read_facts(tmp_path / "a.mkv")
    assert not caplog.text
    first, last = int(len(content) * 0.6), int(len(content) * 0.95)
    content[first:last] = bytes(last - first)
    (tmp_path / "a.mkv").write_bytes(content)
    assert 20 < read_facts(tmp_path / "a.mkv").num_frames < 60
    assert re.search(r"a\.mkv: its frames end at \d\.\d\d s of the 6\.00 s that it states; it is damaged", caplog.text)


def test_frames_that_the_decoder_mended_are_named(tmp_path, caplog):
    content = save(tmp_path / "a.ts", "mpeg2video", "yuv420p")
    for place in range(len(content) // 3, len(content), len(content) // 20):
        damaged = bytearray(content)
        damaged[place : place + 60] = b"\xff" * 60
        (tmp_path / "a.ts").write_bytes(damaged)
        list(VideoDecoder(tmp_path / "a.ts"))
        if caplog.text:
            break
    assert "a.ts: has damaged frames; they are used as the decoder mended them" in caplog.text
