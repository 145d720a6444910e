"""How many trials run at the same time."""

import pytest

from ray_jobs.search.trial_limit import LOOK_S, TrialLimit


@pytest.mark.parametrize(
    ("most", "asks", "expected"),
    [(None, False, [1, 1, 4, 2]), (None, True, [2, 2, 5, 3]), (3, True, [2, 2, 3, 3]), (1, True, [1, 1, 1, 1])],
)
def test_the_limit_follows_the_cluster(most, asks, expected):
    now, rooms, told = [0.0], [1], []
    limit = TrialLimit(lambda: rooms[0], most, asks_for_more=asks, tell=told.append, clock=lambda: now[0])
    found = [limit()]
    for count in (4, 2):
        rooms[0] = count
        if count == 4:
            found.append(limit())  # too early to look again
        now[0] += LOOK_S
        found.append(limit())
    assert found == expected
    assert len(told) == {None: 2, 3: 2, 1: 0}[most]
    assert not told or told[0].endswith("trials at a time now, before 1")
