"""What Ray says goes to the log and not to the terminal."""

import logging

from ray_jobs.cluster.ray_logs import LOGGERS, capture_ray_logs


def test_ray_logs_are_captured_inside_and_restored_afterwards(capfd):
    before = [(logging.getLogger(name).handlers, logging.getLogger(name).level) for name in LOGGERS]
    heard: list[str] = []
    with capture_ray_logs(heard.append):
        for name in LOGGERS:
            logging.getLogger(f"{name}.inner").info("from %s", name)
    assert heard == [f"INFO: from {name}" for name in LOGGERS]
    assert [(logging.getLogger(name).handlers, logging.getLogger(name).level) for name in LOGGERS] == before
    assert capfd.readouterr() == ("", "")
