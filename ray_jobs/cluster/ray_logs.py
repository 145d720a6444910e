"""Output of Ray and its workers: kept off the terminal, and captured for a log."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

LOGGERS = ("ray", "ray.data", "ray.train", "ray.tune")
PRINTER, LISTENER = "ray_print_logs", "quintet"
"""Handlers of the workers' output: Ray's own printer, and ours."""
EVENT = ":event_summary:"
"""Mark in lines of the autoscaler that report its actions; others repeat its state every five seconds."""
NOISE = ("__ray_tqdm_magic_token__", "Reporting training result")
"""Marks in lines by which workers draw progress bars, and in those that repeat a report with all its rows."""

Keep = Callable[[str], None]


def silence_workers() -> None:
    """Stop printing the workers' output, which this process gets after `ray.init(log_to_driver=True)`."""
    from ray._private.ray_logging import global_worker_stdstream_dispatcher

    global_worker_stdstream_dispatcher.remove_handler(PRINTER)


@contextmanager
def capture_ray_logs(keep: Keep) -> Iterator[None]:
    """Pass the output of Ray's loggers in this process and of its workers to `keep`, called from any thread."""
    from ray._private.ray_logging import global_worker_stdstream_dispatcher

    global_worker_stdstream_dispatcher.add_handler(LISTENER, lambda batch: keep("\n".join(_describe(batch))))
    with ExitStack() as stack:
        stack.callback(global_worker_stdstream_dispatcher.remove_handler, LISTENER)
        for name in LOGGERS:
            stack.enter_context(_diverted(logging.getLogger(name), keep))
        yield


@contextmanager
def _diverted(logger: logging.Logger, keep: Keep) -> Iterator[None]:
    """Pass all records of a logger to `keep`, and nowhere else, inside the block."""
    handler = logging.Handler()
    handler.emit = lambda record: keep(f"{record.levelname}: {handler.format(record)}")
    before = logger.propagate, logger.handlers, logger.level
    logger.propagate, logger.handlers = False, [handler]
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.propagate, logger.handlers = before[:2]
        logger.setLevel(before[2])


def _describe(batch: dict[str, Any]) -> list[str]:
    """Return the lines of one process, each with its origin."""
    if batch["pid"] == "autoscaler":
        return [line.partition(EVENT)[2] for line in batch["lines"] if EVENT in line]
    who = f"{batch.get('actor_name') or batch.get('task_name') or 'worker'} pid={batch['pid']} {batch['ip']}"
    return [f"({who}) {line}" for line in batch["lines"] if not any(word in line for word in NOISE)]
