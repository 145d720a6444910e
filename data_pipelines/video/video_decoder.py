"""Decoder of one video file: frames in the order shown, upright and with square pixels."""

import errno
import logging
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from data_pipelines.readers.bad_file import BadFileError, describe_content, few, printable
from data_pipelines.readers.image_file import HIGH_RANGE
from data_pipelines.readers.pyav import import_av

_log = logging.getLogger(__name__)
_QUARTER_TURNS: dict[tuple[float, float, float, float], Image.Transpose | None] = {
    (1, 0, 0, 1): None,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,  # Pillow turns against the clock
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
"""What to do for the signs of a display matrix: where its two axes go, to the right and down."""
_VIDEO_CONTAINERS = ("a MP4", "an AVI", "a GIF", "a Matroska")


class VideoDecoder:
    """An open file; iterating gives its frames as images of one size.

    Warns by name of what is passed over: transparency, a high dynamic range, interlacing, damage, and a turn by no
    quarter. Raises BadFileError for a file that is no video, has no picture, or is damaged.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self.num_read = 0
        """Frames that were given so far; the number of the next."""
        self.container = open_container(file)
        self.stream = picture_stream(self.container, file)
        self._frames = decoded_frames(self.container, self.stream, file)
        self._size: tuple[int, int] | None = None
        self._warned: set[str] = set()
        if self.stream.metadata.get("alpha_mode") == "1":
            self._warn("its transparency is not read; its colours are used as they lie")

    def __iter__(self) -> Iterator[Image.Image]:
        return self

    def __next__(self) -> Image.Image:
        image = self._show(self._next_frame())
        self._size = self._size or image.size
        if image.size != self._size:
            fault = f"frame {self.num_read} is of another size than the first; divide the file there"
            raise BadFileError(self.file, fault)
        self.num_read += 1
        return image

    def skip(self) -> None:
        """Decode one frame without making an image of it; StopIteration at the end."""
        self._next_frame()
        self.num_read += 1

    def close(self) -> None:
        self.container.close()

    def _next_frame(self) -> Any:
        frame = next(self._frames)
        if frame.is_corrupt:
            self._warn("has damaged frames; they are used as the decoder mended them")
        return frame

    def _show(self, frame: Any) -> Image.Image:
        if frame.color_trc in HIGH_RANGE:
            self._warn(f"has colours of high dynamic range ({HIGH_RANGE[frame.color_trc]}); they are used as they lie")
        if frame.interlaced_frame:
            self._warn("is interlaced: every other line is of a later moment; deinterlace it (`ffmpeg -vf bwdif`)")
        image = self._opaque(frame) if any(part.is_alpha for part in frame.format.components) else frame.to_image()
        return self._turn(_with_square_pixels(image, self.stream.sample_aspect_ratio), frame)

    def _opaque(self, frame: Any) -> Image.Image:
        pixels = frame.to_ndarray(format="rgba")
        coloured = Image.fromarray(pixels)
        if pixels[..., 3].min() < 255:
            self._warn("is transparent in part; that part is laid on white")
        return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured).convert("RGB")

    def _turn(self, image: Image.Image, frame: Any) -> Image.Image:
        matrix = next((bytes(part) for part in frame.side_data if part.type.name == "DISPLAYMATRIX"), None)
        if matrix is None:
            return image
        axes = struct.unpack("=9i", matrix)
        longest = max(map(abs, (axes[0], axes[1], axes[3], axes[4]))) or 1
        signs = (axes[0] / longest, axes[1] / longest, axes[3] / longest, axes[4] / longest)
        if signs not in _QUARTER_TURNS:
            self._warn(f"says to be shown turned by {-frame.rotation} degrees or stretched; it is used as it lies")
            return image
        turn = _QUARTER_TURNS[signs]
        return image if turn is None else image.transpose(turn)

    def _warn(self, words: str) -> None:
        if words not in self._warned:
            self._warned.add(words)
            _log.warning("%s: %s", printable(self.file), words)


def open_container(file: Path) -> Any:
    """Open a file with PyAV; BadFileError says what a file is that is no video."""
    av = import_av()
    try:
        return av.open(str(file), metadata_errors="replace")  # its texts are not shown
    except av.FFmpegError as error:
        what = describe_content(file)
        if what.startswith(_VIDEO_CONTAINERS):
            fault = f"is damaged at its beginning, or cut off ({error.strerror}); copy it again, or remove it"
        else:
            fault = f"is no video: it is {what}; copy it again, or remove it"
        raise BadFileError(file, fault) from error


def picture_stream(container: Any, file: Path) -> Any:
    """Return the first stream of moving pictures; a cover picture is none. Raises BadFileError when there is none."""
    av = import_av()
    streams = [
        stream for stream in container.streams.video if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        kinds = few(sorted({stream.type for stream in container.streams})) or "nothing"
        raise BadFileError(file, f"has no video stream (it holds {kinds}); remove it, or give a file with pictures")
    if streams[0].codec_context is None:
        raise BadFileError(file, "has pictures of a coding that PyAV does not know; convert it, for example to H.264")
    if len(streams) > 1:
        _log.warning("%s: has %d video streams; the first is used", printable(file), len(streams))
    return streams[0]


def decoded_frames(container: Any, stream: Any, file: Path) -> Iterator[Any]:
    """Yield PyAV's frames in the order shown, without those that cannot be decoded at a cut beginning."""
    damage = import_av().FFmpegError
    number = 0
    frames = _checked(container, stream) if stream.name == "ffv1" else container.decode(stream)
    try:
        for frame in frames:
            yield frame
            number += 1
    except damage as error:
        raise BadFileError(
            file, f"is damaged after its first {number} frames ({error.strerror}); copy it again, or remove it"
        ) from error


def _checked(container: Any, stream: Any) -> Iterator[Any]:
    """Yield frames of FFV1; raise PyAV's error for one that the decoder logs an error of, such as a wrong checksum.

    The decoder repeats the frame before in its place, and says so nowhere but in its log.
    """
    av = import_av()
    stream.codec_context.thread_count = 1  # its log reaches Python from this thread alone
    frames = container.decode(stream)
    while True:
        level = av.logging.get_level()
        av.logging.set_level(av.logging.ERROR)
        try:
            with av.logging.Capture() as lines:
                frame = next(frames, None)
        finally:
            av.logging.set_level(level)
        if lines:
            raise av.error.InvalidDataError(errno.EBADMSG, "a checksum is wrong")
        if frame is None:
            return
        yield frame


def _with_square_pixels(image: Image.Image, shape: Any) -> Image.Image:
    """Enlarge one side, so that pixels of another shape than 1:1 (width to height) become square."""
    if not shape or shape == 1:
        return image
    wide = shape > 1
    size = (round(image.width * shape), image.height) if wide else (image.width, round(image.height / shape))
    return image.resize(size, Image.Resampling.BICUBIC)
