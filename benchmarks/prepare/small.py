"""Where the time of `prepare` goes for many small files: listing, digest, stamp, counting, and the shards."""

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.prepare.raw import IMAGES, build_pipeline
from data_pipelines.images.pipeline import ImagePipeline
from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.raw.copies import warn_of_copies
from data_pipelines.prepared.raw.file_counts import count_files
from data_pipelines.prepared.raw.raw_changes import stamp_of
from data_pipelines.storage.folder import Folder


def main() -> None:
    """Print the seconds of each part, and of a whole preparation by one process."""
    arguments = json.loads(Path(sys.argv[1]).read_text())
    raw, target = Path(arguments["raw"]), Path(arguments["target"])
    pipeline: Any = build_pipeline(IMAGES, raw)
    assert isinstance(pipeline, ImagePipeline)
    parts = {
        "listing": pipeline.num_raw_rows,
        "digest": pipeline.source_hash,
        "stamp": lambda: stamp_of(pipeline),
        "counts of files": lambda: count_files(pipeline, ()),
        "search for copies": lambda: warn_of_copies(pipeline.split_files()),
    }
    found: dict[str, float] = {}
    for name, run in parts.items():
        began = time.perf_counter()
        run()
        found[name] = time.perf_counter() - began
    began = time.perf_counter()
    prepare(build_pipeline(IMAGES, raw), Folder(str(target)), num_processes=1)
    print(json.dumps({"parts": found, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
