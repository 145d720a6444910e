"""Output of Ray's loggers in this process: kept off the terminal, and captured for a log.

What Ray's other processes print stays in the files of Ray's session, `<temporary folder>/session_latest/logs`; Ray has
no public way to receive it but on the terminal.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

LOGGERS = ("ray", "ray.data", "ray.train", "ray.tune")

Keep = Callable[[str], None]


@contextmanager
def capture_ray_logs(keep: Keep) -> Iterator[None]:
    """Pass the output of Ray's loggers in this process to `keep`, called from any thread."""
    with ExitStack() as stack:
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
