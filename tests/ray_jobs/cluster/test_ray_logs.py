"""What Ray says goes to the log and not to the terminal."""

import logging

import pytest

from ray_jobs.cluster.ray_logs import LOGGERS, capture_ray_logs


@pytest.fixture
def dispatcher():
    from ray._private.ray_logging import global_worker_stdstream_dispatcher

    return global_worker_stdstream_dispatcher


def test_ray_logs_are_captured_inside_and_restored_afterwards(dispatcher, capfd):
    before = [(logging.getLogger(name).handlers, logging.getLogger(name).level) for name in LOGGERS]
    heard: list[str] = []
    with capture_ray_logs(heard.append):
        for name in LOGGERS:
            logging.getLogger(f"{name}.inner").info("from %s", name)
        dispatcher.emit({"lines": ["one", "two"], "pid": 7, "ip": "10.0.0.1", "actor_name": "RayTrainWorker"})
        state = ["Node status", ":event_summary:Adding 1 node(s)."]
        dispatcher.emit({"lines": state, "pid": "autoscaler", "ip": "10.0.0.1"})
        dispatcher.emit({"lines": ['{"__magic_token__": "__ray_tqdm_magic_token__"}'], "pid": 7, "ip": "10.0.0.1"})
    dispatcher.emit({"lines": ["late"], "pid": 7, "ip": "10.0.0.1"})
    assert heard == [
        *(f"INFO: from {name}" for name in LOGGERS),
        "(RayTrainWorker pid=7 10.0.0.1) one\n(RayTrainWorker pid=7 10.0.0.1) two",
        "Adding 1 node(s).",
        "",
    ]
    assert [(logging.getLogger(name).handlers, logging.getLogger(name).level) for name in LOGGERS] == before
    assert capfd.readouterr() == ("", "")
