"""Process that makes shards for another one, which it reads tasks from until its input ends."""

import logging
import os
import pickle
import signal
import sys
from typing import IO

from data_pipelines.prepared.making.shard_making import make_shards
from data_pipelines.prepared.making.shard_processes import Job, LogCollector, Result, send, thaw


def main() -> None:
    """Make the shards of each group of tasks that is sent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that sends the tasks decides
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print does not go between the results
    said = LogCollector()
    logging.basicConfig(handlers=[said], level=logging.WARNING)
    job: Job = pickle.load(sys.stdin.buffer)
    sys.path[:] = job.search_path
    pipeline = thaw(job.pipeline)
    while True:
        try:
            tasks = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            for made in make_shards(pipeline, job.folder, tasks, job.data_spec, lambda count: _tell(out, count)):
                send(out, Result(made=made, said=said.take()))
        except Exception as error:  # it is raised again by the process that reads this
            send(out, Result(error=error if isinstance(error, ValueError | OSError) else RuntimeError(repr(error))))
        send(out, Result(is_idle=True))


def _tell(out: IO[bytes], num_rows: int) -> None:
    send(out, Result(num_rows=num_rows))


if __name__ == "__main__":
    main()
