"""One server for each test, which must leave nothing running and have understood every request."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.fake_wandb import FakeWandb


@pytest.fixture
def server() -> Iterator[FakeWandb]:
    before = threading.active_count()
    with FakeWandb() as fake:
        yield fake
    assert threading.active_count() == before
    assert fake.errors == []


def wait_until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
