"""What Ray and its workers say: kept off the terminal, and handed to whoever keeps a log."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

LOGGERS = ("ray", "ray.data", "ray.train", "ray.tune")
PRINTER, LISTENER = "ray_print_logs", "quintet"
"""Who gets the workers' output: Ray's own printer, and ours."""
EVENT = ":event_summary:"
"""In lines of the autoscaler that say what it did; it tells its state every five seconds."""
NOISE = ("__ray_tqdm_magic_token__", "Reporting training result")
"""In lines by which workers draw bars, and in those that repeat a report, rows and all."""

Keep = Callable[[str], None]


def silence_workers() -> None:
    """After `ray.init(log_to_driver=True)`: what workers write comes here, and is printed no more."""
    from ray._private.ray_logging import global_worker_stdstream_dispatcher

    global_worker_stdstream_dispatcher.remove_handler(PRINTER)


@contextmanager
def capture_ray_logs(keep: Keep) -> Iterator[None]:
    """Inside, what Ray's loggers say in this process and what its workers write goes to `keep`, from any thread."""
    from ray._private.ray_logging import global_worker_stdstream_dispatcher

    global_worker_stdstream_dispatcher.add_handler(LISTENER, lambda batch: keep("\n".join(_describe(batch))))
    with ExitStack() as stack:
        stack.callback(global_worker_stdstream_dispatcher.remove_handler, LISTENER)
        for name in LOGGERS:
            stack.enter_context(_diverted(logging.getLogger(name), keep))
        yield


@contextmanager
def _diverted(logger: logging.Logger, keep: Keep) -> Iterator[None]:
    """All that the logger takes goes to `keep` and nowhere else."""
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
    """Lines of one process, each with who wrote it."""
    if batch["pid"] == "autoscaler":
        return [line.partition(EVENT)[2] for line in batch["lines"] if EVENT in line]
    who = f"{batch.get('actor_name') or batch.get('task_name') or 'worker'} pid={batch['pid']} {batch['ip']}"
    return [f"({who}) {line}" for line in batch["lines"] if not any(word in line for word in NOISE)]
