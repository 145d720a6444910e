"""Facts of a video file that are known before its frames are stored: their number, and their times."""

import logging
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_pipelines.readers.bad_file import BadFileError, printable, refuse_unopenable
from data_pipelines.readers.pyav import import_av
from data_pipelines.readers.video_container import check_is_whole
from data_pipelines.video.video_decoder import decoded_frames, open_container, picture_stream

_log = logging.getLogger(__name__)
_ONE_PACKET_A_FRAME = ("mov,", "matroska,", "avi")
"""Containers, by the beginning of FFmpeg's name, in which a packet is a frame."""
_HIDDEN_FRAMES = ("vp8",)
"""Codecs with packets that hold no shown frame."""
_SAME_RATE = 1.01
_UNEVEN = 0.15
"""A time between two frames further than this part from the usual one makes a file's rate variable."""


@dataclass(frozen=True)
class VideoFacts:
    """Number and times of a file's frames."""

    num_frames: int
    rate_hz: float | None = None
    """The usual one; None: unknown, as for a single frame."""
    slowest_hz: float | None = None
    fastest_hz: float | None = None
    """Both None, unless times between frames differ."""
    times_s: np.ndarray | None = field(default=None, compare=False, repr=False)
    """When each frame is shown, float64, from 0; None: unknown."""


class _Packet(NamedTuple):
    time: int | None
    is_key: bool
    is_shown: bool
    place: int | None
    """Its time in the order of decoding."""
    length: int
    """How long it is shown, in ticks; 0: not stated."""


def read_facts(file: Path) -> VideoFacts:
    """Count a file's frames and look at their times: by packets, and by decoding where these may say otherwise.

    Warns of a Matroska file whose frames end before the duration that it states: demuxers pass over damaged parts.
    Raises BadFileError for anything that is no whole video.
    """
    import_av()  # without it every file is refused for the same reason
    refuse_unopenable(file)
    check_is_whole(file)
    with closing(open_container(file)) as container:
        stream = picture_stream(container, file)
        packets = _read_packets(container, stream, file)
        tick_s = float(stream.time_base or 0)
        _warn_of_early_end(container, stream, packets, file)
        shown = [packet.time for packet in packets if packet.is_shown]
        if shown and _is_countable(container, stream, packets):
            return _facts(shown, tick_s)
        num_lost = _num_lost(container, stream, packets)
        is_strict = container.format.name.startswith(_ONE_PACKET_A_FRAME[:2]) and stream.name not in _HIDDEN_FRAMES
    decoded = _decode_times(file)
    expected = len(shown) - _num_leading(packets)
    if not decoded or num_lost or (is_strict and len(decoded) < expected):
        num_all = len(shown) + num_lost
        raise BadFileError(
            file, f"only {len(decoded)} of its {num_all} frames can be decoded; copy it again, or remove it"
        )
    return _facts(decoded, tick_s)


def _read_packets(container: Any, stream: Any, file: Path) -> list[_Packet]:
    try:
        packets = [
            _Packet(packet.pts, packet.is_keyframe, not packet.is_discard, packet.dts, packet.duration or 0)
            for packet in container.demux(stream)
            if packet.size
        ]
    except import_av().FFmpegError as error:
        raise BadFileError(file, f"is damaged ({error.strerror}); copy it again, or remove it") from error
    if not packets:
        raise BadFileError(file, "has a video stream without a frame; copy it again, or remove it")
    return packets


def _is_countable(container: Any, stream: Any, packets: Sequence[_Packet]) -> bool:
    return (
        container.format.name.startswith(_ONE_PACKET_A_FRAME)
        and stream.name not in _HIDDEN_FRAMES
        and stream.frames in (0, len(packets))
        and all(packet.time is not None for packet in packets)
        and not _num_leading(packets)
    )


def _num_lost(container: Any, stream: Any, packets: Sequence[_Packet]) -> int:
    """Count the frames of an AVI header beyond the last packet; one that repeats its predecessor has no packet."""
    place = packets[-1].place
    if container.format.name != "avi" or place is None:
        return 0
    return max(0, stream.frames - (place + 1))


def _warn_of_early_end(container: Any, stream: Any, packets: Sequence[_Packet], file: Path) -> None:
    stated_s = _stated_end_s(container, stream)
    times = sorted(packet.time for packet in packets if packet.time is not None)
    if stated_s is None or len(times) < 2:
        return
    tick_s = float(stream.time_base)
    usual_s = float(np.median(np.diff(times))) * tick_s
    end_s = max(packet.time + packet.length for packet in packets if packet.time is not None) * tick_s + usual_s
    if end_s + 2 * usual_s < stated_s:
        _log.warning(
            "%s: its frames end at %.2f s of the %.2f s that it states; it is damaged, or its head is of another state",
            *(printable(file), end_s, stated_s),
        )


def _stated_end_s(container: Any, stream: Any) -> float | None:
    """Return when a Matroska file's pictures are to end: by the stream's tag, or by the head of a file of one."""
    if not container.format.name.startswith("matroska,"):
        return None
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", str(stream.metadata.get("DURATION", "")).strip("\0 "))
    if tag:
        return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3])
    return container.duration / 1e6 if container.duration and len(container.streams) == 1 else None


def _num_leading(packets: Sequence[_Packet]) -> int:
    """Count what may need frames that were cut off: before the first key frame, or shown before it."""
    first = next((place for place, packet in enumerate(packets) if packet.is_key), len(packets))
    key_time = packets[first].time if first < len(packets) else None
    shown_before = [
        packet
        for packet in packets[first + 1 :]
        if packet.is_shown and None not in (packet.time, key_time) and packet.time < key_time  # pyright: ignore[reportOperatorIssue]
    ]
    return len([packet for packet in packets[:first] if packet.is_shown]) + len(shown_before)


def _decode_times(file: Path) -> list[int | None]:
    with closing(open_container(file)) as container:
        stream = picture_stream(container, file)
        return [frame.pts for frame in decoded_frames(container, stream, file)]


def _facts(times: Sequence[int | None], tick_s: float) -> VideoFacts:
    known = sorted(time for time in times if time is not None)
    steps = np.diff(np.array(known, np.float64))
    if len(known) != len(times) or not len(steps) or not tick_s or np.median(steps) <= 0:
        return VideoFacts(len(times))
    usual = float(np.median(steps))
    is_even = np.abs(steps - usual) <= usual * _UNEVEN + 1  # a tick, by which containers round
    if not is_even.any():
        return VideoFacts(len(times))
    rate_hz = 1 / (float(steps[is_even].mean()) * tick_s)
    times_s = (np.array(known, np.float64) - known[0]) * tick_s
    if is_even.all():
        return VideoFacts(len(times), rate_hz, times_s=times_s)
    slowest_hz, fastest_hz = 1 / (steps.max() * tick_s), 1 / (max(steps.min(), 1.0) * tick_s)
    return VideoFacts(len(times), rate_hz, slowest_hz, fastest_hz, times_s)


def choose_frames(facts: VideoFacts, rate_hz: float, file: Path) -> np.ndarray | None:
    """Return the places of the frames that are nearest in time to 0, 1 / rate_hz, 2 / rate_hz and so on.

    Returns None for all frames, when the file has that rate already. Raises BadFileError for a file with fewer frames
    than that, or without times.
    """
    times_s, own_hz = facts.times_s, facts.rate_hz
    if times_s is None or own_hz is None:
        raise BadFileError(file, "has frames of unknown times, so `frames_per_s` cannot be met; leave it out")
    is_constant = facts.slowest_hz is None
    if is_constant and is_same_rate(own_hz, rate_hz):
        return None
    wanted_s = np.arange(int(times_s[-1] * rate_hz + 1e-6) + 1) / rate_hz
    after = np.searchsorted(times_s, wanted_s).clip(1, len(times_s) - 1)
    places = np.where(wanted_s - times_s[after - 1] <= times_s[after] - wanted_s, after - 1, after)
    if len(np.unique(places)) < len(places):
        slowest = own_hz if facts.slowest_hz is None else facts.slowest_hz
        raise BadFileError(
            file, f"has {slowest:.4g} frames/s, fewer than `frames_per_s` {rate_hz:g}; lower that, or remove the file"
        )
    return places


def is_same_rate(first_hz: float, second_hz: float) -> bool:
    """Return whether two rates are the same: 29.97 and 30 are, and what a container rounds."""
    return max(first_hz, second_hz) < min(first_hz, second_hz) * _SAME_RATE
