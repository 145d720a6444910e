"""Sign of life of a long evaluation outside of a training: a line on the terminal every ten seconds."""

import time

from trainables.contract.train_context import Collectives

EVERY_S = 10.0


class Pulse:
    """Counter that prints how many items are done, over all ranks about, from rank 0 alone."""

    def __init__(self, what: str, collectives: Collectives) -> None:
        """Begin to count; `what` ends the line, for example `images enlarged`."""
        self._what, self._collectives = what, collectives
        self._count, self._printed = 0, time.monotonic()

    def beat(self, count: int = 1) -> None:
        """Count items that are done on this rank."""
        self._count += count
        if self._collectives.rank == 0 and time.monotonic() - self._printed > EVERY_S:
            self._printed = time.monotonic()
            print(f"{self._count * self._collectives.world_size:,} {self._what}", flush=True)
