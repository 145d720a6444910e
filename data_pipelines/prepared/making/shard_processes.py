"""Making of shards in several processes: each is started by its module's name, reads tasks, and sends what it made.

Whoever makes a shard, its bytes are the same, and warnings are shown in the order of the plan.
"""

import logging
import os
import pickle
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, NamedTuple, Self

from data_pipelines.contract.pipeline import DataPipeline, DataSpec
from data_pipelines.prepared.making.shard_plan import MadeShard, ShardTask, share_tasks
from data_pipelines.storage.folder import Folder

MODULE = "data_pipelines.prepared.making.shard_process_main"


class Said(NamedTuple):
    """A record of logging, as plain data."""

    logger: str
    level: int
    text: str
    arguments: tuple[Any, ...]


class Job(NamedTuple):
    """What a process is told at its start."""

    search_path: list[str]
    pipeline: bytes
    folder: Folder
    data_spec: DataSpec


class Result(NamedTuple):
    """What a process sends: the number of rows it has read, a shard with what was said, or an error."""

    num_rows: int = 0
    made: MadeShard | None = None
    said: tuple[Said, ...] = ()
    error: Exception | None = None
    is_idle: bool = False


def make_in_processes(
    frozen: bytes,
    folder: Folder,
    tasks: Sequence[ShardTask],
    data_spec: DataSpec,
    on_rows: Callable[[int], object],
    *,
    num_processes: int,
) -> Iterator[MadeShard]:
    """Make the shards of the tasks; yields them as they are made, in any order.

    `frozen` is the pipeline, by `freeze`, and the tasks are in the order of the plan. `on_rows` is called, in this
    process, whenever raw rows have been read.

    Raises:
        ValueError: The raw rows cannot be read.
        RuntimeError: A process ended before its work was done.
    """
    groups: queue.SimpleQueue[list[ShardTask]] = queue.SimpleQueue()
    count = 0
    for group in share_tasks(tasks, num_processes):
        groups.put(group)
        count += 1
    job = Job(list(sys.path), frozen, folder, data_spec)
    results: queue.SimpleQueue[Result] = queue.SimpleQueue()
    processes = [_Process(job, groups, results) for _ in range(min(num_processes, count))]
    said = ShownInOrder(tasks)
    try:
        for _ in tasks:
            while (result := results.get()).made is None:
                if result.error is not None:
                    raise result.error
                on_rows(result.num_rows)
            said.add(result.made, result.said)
            yield result.made
    finally:
        for process in processes:
            process.end()


def freeze(pipeline: DataPipeline[Any]) -> bytes | None:
    """Pickle a pipeline with the listing of its raw data, which it leaves out elsewhere.

    Returns None when other processes cannot read the rows: they come from no files, or the pipeline cannot be pickled
    or is of no module.
    """
    if not pipeline.raw_files() or type(pipeline).__module__ == "__main__":
        return None
    try:
        return pickle.dumps((type(pipeline), pipeline.__dict__))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None


def thaw(frozen: bytes) -> DataPipeline[Any]:
    """Return a pickled pipeline."""
    kind, state = pickle.loads(frozen)
    pipeline = object.__new__(kind)
    pipeline.__dict__.update(state)
    return pipeline


class LogCollector(logging.Handler):
    """Handler that keeps records as plain data; as a context manager it takes the warnings of the whole process."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: list[Said] = []

    def __enter__(self) -> Self:
        logging.getLogger().addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        arguments = record.args if isinstance(record.args, tuple) else (record.args,)
        plain = tuple(each if isinstance(each, int | float | str) else str(each) for each in arguments or ())
        self._said.append(Said(record.name, record.levelno, str(record.msg), plain))

    def take(self) -> tuple[Said, ...]:
        """Return the records since the last call."""
        said, self._said = tuple(self._said), []
        return said


class ShownInOrder:
    """Log of other processes, shown in the order of the plan."""

    def __init__(self, tasks: Sequence[ShardTask]) -> None:
        self._places = [task.place for task in tasks]
        self._said: dict[tuple[str, int], tuple[Said, ...]] = {}
        self._next = 0

    def add(self, made: MadeShard, said: tuple[Said, ...]) -> None:
        """Keep what was said about a shard, and show what can be shown."""
        self._said[made.place] = said
        while self._next < len(self._places) and self._places[self._next] in self._said:
            for record in self._said.pop(self._places[self._next]):
                logging.getLogger(record.logger).log(record.level, record.text, *record.arguments)
            self._next += 1


class _Process:
    """Process that makes shards, with the thread that talks to it."""

    def __init__(
        self, job: Job, groups: "queue.SimpleQueue[list[ShardTask]]", results: "queue.SimpleQueue[Result]"
    ) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", MODULE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._is_ended = False
        self._thread = threading.Thread(target=self._talk, args=(job, groups, results), daemon=True)
        self._thread.start()

    def _talk(
        self, job: Job, groups: "queue.SimpleQueue[list[ShardTask]]", results: "queue.SimpleQueue[Result]"
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            send(self._process.stdin, job)
            while not groups.empty():
                try:
                    group = groups.get_nowait()
                except queue.Empty:
                    break
                send(self._process.stdin, group)
                while not (result := pickle.load(self._process.stdout)).is_idle:
                    results.put(result)
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            if not self._is_ended:
                words = f"a process of prepare ended before its work was done (exit code {self._process.wait()})"
                advice = "it may have been out of memory; run prepare again, with --processes 1"
                results.put(Result(error=RuntimeError(f"{words}; {advice}: {error}")))

    def end(self) -> None:
        """End the process at once, and its thread, which reads the end of the process's output."""
        self._is_ended = True
        self._process.kill()
        self._process.wait()
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


def send(stream: IO[bytes], value: object) -> None:
    """Write a pickle to a pipe."""
    pickle.dump(value, stream)
    stream.flush()
