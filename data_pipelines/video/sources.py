"""Sources of video data: the clips of each kind of raw data in the settings."""

from collections.abc import Sequence
from dataclasses import replace

from data_pipelines.contract.pipeline import Split
from data_pipelines.prepared.sources.source_pipeline import require_path
from data_pipelines.readers.bad_file import NAMED, few
from data_pipelines.video.clips import Clip, ClipListing, cut_long_clips
from data_pipelines.video.config import VideoData
from data_pipelines.video.groups import split_by_group


def list_clips(data: VideoData) -> ClipListing:
    """List all clips, long ones in parts; ValueError names what is missing, or a clip shorter than a window."""
    listing = _list(data)
    if data.group is not None:
        listing = split_by_group(listing, data.group)
    clips: dict[Split, Sequence[Clip]] = {
        split: cut_long_clips(found, data.max_clip_frames, window_frames=data.window_frames)
        for split, found in listing.clips.items()
    }
    short = [clip for found in clips.values() for clip in found if clip.num_frames < data.window_frames]
    if short:
        rest = f" ({len(short) - 1} more are too short: {few((clip.name for clip in short[1:]), most=NAMED)})"
        refuse_short(short[0].origin, short[0].num_frames, data, rest if len(short) > 1 else "")
    return replace(listing, clips=clips)


def refuse_short(origin: str, num_frames: int, data: VideoData, more: str = "") -> None:
    """Raise ValueError for a clip without room for a window; `origin` says where it lies, `more` follows the advice."""
    if num_frames < data.window_frames:
        raise ValueError(
            f"{origin} has {num_frames} frames; a window of {data.num_past} + {data.num_future} frames at "
            f"sample_interval {data.sample_interval} needs {data.window_frames}; remove it, or lower "
            f"`num_past`, `num_future` or `sample_interval`{more}"
        )


def _list(data: VideoData) -> ClipListing:
    if data.source == "bouncing_digits":
        from data_pipelines.video.bouncing_digits import list_bouncing_digits

        return list_bouncing_digits(data.digits, data.path)
    path = require_path(data)
    if data.source == "moving_mnist":
        from data_pipelines.video.moving_mnist import list_moving_mnist

        return list_moving_mnist(path, data.digits, size=(data.height, data.width))
    if data.source == "videos":
        from data_pipelines.video.video_files import list_video_files

        return list_video_files(path, skips_bad=data.on_bad_file == "skip", frames_per_s=data.frames_per_s)
    if data.source == "frames":
        from data_pipelines.video.frame_folders import list_frame_folders

        return list_frame_folders(path, divides=data.on_gap == "divide")
    from data_pipelines.video.driving_layouts import list_bench2drive, list_nuscenes

    return (list_bench2drive if data.source == "bench2drive" else list_nuscenes)(path, data.camera_name)
