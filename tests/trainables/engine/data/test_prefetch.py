"""Reading ahead in a thread: nothing lost, nothing swallowed, nothing left behind."""

import threading
import time

import pytest

from trainables.engine.data.prefetch import prefetch_map, read_ahead


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


@pytest.mark.parametrize("depth", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_items_come_in_order_and_the_thread_ends(depth, count):
    before = threads()
    with read_ahead(iter(range(count)), depth) as ready:
        assert list(ready) == list(range(count))
    assert threads() == before


def test_none_and_false_are_items_like_any_other():
    with read_ahead(iter([None, False, 0, ()]), 2) as ready:
        assert list(ready) == [None, False, 0, ()]


@pytest.mark.parametrize("good", [0, 1, 5])
def test_an_error_of_the_items_arrives_after_the_good_ones(good):
    def items():
        yield from range(good)
        raise ValueError("of the items")

    before = threads()
    seen = []
    with pytest.raises(ValueError, match="of the items"), read_ahead(items(), 2) as ready:
        for item in ready:
            seen.append(item)
    assert seen == list(range(good))
    assert threads() == before


@pytest.mark.parametrize("taken", [0, 1, 3])
def test_leaving_early_ends_the_thread(taken):
    def items():
        number = 0
        while True:
            yield number
            number += 1

    before = threads()
    with read_ahead(items(), 2) as ready:
        for _ in range(taken):
            next(ready)
    assert threads() == before


def test_an_error_of_the_reader_is_raised_and_ends_the_thread():
    before = threads()
    with pytest.raises(KeyError, match="of the reader"), read_ahead(iter(range(100)), 2) as ready:
        next(ready)
        raise KeyError("of the reader")
    assert threads() == before


def test_an_error_that_nobody_reads_does_not_hold_up_the_exit():
    def items():
        yield 1
        raise ValueError("unread")

    before = threads()
    with read_ahead(items(), 1) as ready:
        assert next(ready) == 1
    assert threads() == before


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_items_are_prefetched_than_the_depth(depth):
    made = []

    def items():
        for number in range(30):
            made.append(number)
            yield number

    with read_ahead(items(), depth) as ready:
        for taken in range(10):
            deadline = time.monotonic() + 5
            while len(made) < taken + depth + 1 and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(0.005)
            assert len(made) == taken + depth + 1
            next(ready)


def test_items_are_made_while_the_reader_works():
    made = threading.Event()

    def items():
        yield 1
        made.set()
        yield 2

    with read_ahead(items(), 1) as ready:
        next(ready)
        assert made.wait(timeout=5)


@pytest.mark.parametrize(("workers", "depth"), [(1, 1), (2, 2), (3, 7)])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_mapped_results_come_in_order_whichever_is_ready_first(workers, depth, count):
    def double(number):
        time.sleep(0.002 * (number % 3))
        return 2 * number

    before = threads()
    assert list(prefetch_map(double, range(count), threads=workers, depth=depth)) == [2 * n for n in range(count)]
    assert threads() == before


def test_mapping_uses_all_its_threads_at_once():
    together = threading.Barrier(2, timeout=5)  # raises when one comes alone
    assert list(prefetch_map(lambda item: together.wait() >= 0, range(2), threads=2, depth=2)) == [True, True]


def test_an_error_in_mapping_arrives_after_the_good_results():
    def half(number):
        if number == 3:
            raise ValueError("of the function")
        return number

    before, seen = threads(), []
    with pytest.raises(ValueError, match="of the function"):
        for result in prefetch_map(half, range(10), threads=2, depth=2):
            seen.append(result)
    assert seen == [0, 1, 2]
    assert threads() == before


@pytest.mark.parametrize("taken", [1, 3])
def test_mapping_stops_at_its_depth_and_when_it_is_left(taken):
    made = []
    before = threads()
    results = prefetch_map(lambda number: made.append(number), range(100), threads=2, depth=4)
    for _ in range(taken):
        next(results)
    deadline = time.monotonic() + 5
    while len(made) < taken + 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.005)
    assert len(made) == taken + 4
    results.close()
    assert threads() == before


def test_results_ahead_are_bounded_by_their_weights():
    made: list[int] = []
    weights = [50, 1, 1, 1, 1, 50, 1, 1, 1]
    numbers = range(len(weights))
    results = prefetch_map(made.append, numbers, threads=1, depth=3, weigh=weights.__getitem__)
    ahead = []
    for taken, _ in enumerate(results, 1):
        deadline = time.monotonic() + 5
        while len(made) < taken and time.monotonic() < deadline:
            time.sleep(0.001)
        ahead.append(sum(weights[taken : len(made)]))
    assert made == list(numbers) and all(each <= 3 + max(weights) for each in ahead)
    assert max(ahead[:1]) <= 3  # a heavy one is not followed by many
