"""Several Ray nodes on this machine: a training over two of them, of which some are lost, announced or not."""

import os
import signal
from collections.abc import Callable

import psutil
import pytest
import yaml

from ray_jobs.cluster.local_cluster import LocalCluster
from ray_jobs.exit_codes import TERMINATED
from ray_jobs.settings.experiment import Experiment
from tests.cluster.nodes import (
    ROOT,
    allow_further_nodes,
    assert_same,
    count_rows,
    drain,
    end,
    has_training_worker,
    rows_of,
    started_driver,
    started_node,
    train_by_processes,
    wait_until,
    words_of,
)

TRAINING = {"epochs": 40, "max_failures": 5}
RARELY = {"checkpoint_every": "100000 epochs", "checkpoint_every_steps": None}
RESTART = "restarting all workers from the last checkpoint"
pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.filterwarnings("default")]


@pytest.fixture
def cluster(monkeypatch) -> Callable[[], LocalCluster]:
    """Starts clusters whose head has no CPU of its own."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    allow_further_nodes(monkeypatch)
    return lambda: LocalCluster(num_cpus=0)


@pytest.fixture
def over_nodes(toy, tmp_path) -> Callable[..., Experiment]:
    """Builds the experiment that the driver trains; keyword arguments are settings of `training`."""

    def build(scaling=None, **training) -> Experiment:
        waiting = {"num_workers": 2, "use_gpu": False, "wait_for_nodes_s": 240, **(scaling or {})}
        experiment = toy(training={**TRAINING, **training}, scaling=waiting, tracking={"run_name": "nodes"})
        (tmp_path / "experiment.yaml").write_text(yaml.safe_dump(experiment.model_dump(mode="json")))
        return experiment

    return build


@pytest.fixture
def reference_of(toy, tmp_path) -> Callable[[Experiment], Experiment]:
    """The same run by two plain processes, without Ray."""
    return lambda experiment: train_by_processes(experiment, toy, tmp_path)


def test_a_killed_node_that_comes_back_changes_no_result(cluster, over_nodes, reference_of, tmp_path):
    experiment = over_nodes()
    with cluster() as head, started_node(head), started_node(head) as second, started_driver(head, tmp_path) as driver:
        wait_until(lambda: count_rows(experiment) >= 60, driver)
        end(second, signal.SIGKILL)
        with started_node(head):
            driver.wait(timeout=400)
    words = words_of(experiment)
    assert driver.returncode == 0 and RESTART in words and "resumed from" in words, words
    assert_same(experiment, reference_of(experiment))


def test_a_node_killed_again_during_recovery_changes_no_result(cluster, over_nodes, reference_of, tmp_path):
    """The second time it has a worker already, which may be training or still starting."""
    experiment = over_nodes()
    with cluster() as head, started_node(head), started_node(head) as second, started_driver(head, tmp_path) as driver:
        wait_until(lambda: count_rows(experiment) >= 60, driver)
        end(second, signal.SIGKILL)
        with started_node(head) as third:
            wait_until(lambda: has_training_worker(third), driver)
            end(third, signal.SIGKILL)
        with started_node(head):
            driver.wait(timeout=500)
    assert driver.returncode == 0 and RESTART in words_of(experiment), words_of(experiment)
    assert_same(experiment, reference_of(experiment))


def test_an_announced_end_saves_a_checkpoint_and_is_no_failure(cluster, over_nodes, reference_of, tmp_path):
    """There is no other checkpoint, and a failure would end the run."""
    experiment = over_nodes(**RARELY, epochs=100, max_failures=0)
    with (
        cluster() as head,
        started_node(head),
        started_node(head, drain_s=15) as second,
        started_driver(head, tmp_path) as driver,
    ):
        wait_until(lambda: count_rows(experiment) >= 60, driver)
        os.kill(second.pid, signal.SIGTERM)  # as Kubernetes and systemd do
        wait_until(lambda: "will be taken at" in words_of(experiment), driver)
        with started_node(head):
            driver.wait(timeout=400)
    words = words_of(experiment)
    assert driver.returncode == 0 and words.count("resumed from") == 1, words
    assert_same(experiment, reference_of(experiment))


def test_a_node_announced_too_late_is_lost_like_any_other(cluster, over_nodes, reference_of, tmp_path):
    """The workers that stay break off before the cluster has told of the announcement."""
    experiment = over_nodes(epochs=60)
    with (
        cluster() as head,
        started_node(head),
        started_node(head, name="second") as second,
        started_driver(head, tmp_path) as driver,
    ):
        wait_until(lambda: count_rows(experiment) >= 60, driver)
        drain(head, "second", deadline_s=-1)
        end(second, signal.SIGKILL)
        with started_node(head):
            driver.wait(timeout=400)
    words = words_of(experiment)
    assert driver.returncode == 0 and words.count("resumed from") == 1, words
    assert_same(experiment, reference_of(experiment))


def test_a_run_resumes_with_fewer_workers_and_grows_back(cluster, over_nodes, tmp_path):
    """The steps are counted on, with the same batch size; the run is stopped when it has grown."""
    experiment = over_nodes({"min_workers": 1, "wait_for_nodes_s": 0}, epochs=100_000)
    with cluster() as head, started_node(head), started_node(head) as second, started_driver(head, tmp_path) as driver:
        wait_until(lambda: count_rows(experiment) >= 60, driver)
        end(second, signal.SIGKILL)
        wait_until(lambda: "was written by 2 workers and goes on with 1" in words_of(experiment), driver)
        fewer = count_rows(experiment)
        with started_node(head):
            wait_until(lambda: "was written by 1 workers and goes on with 2" in words_of(experiment), driver)
            grown = count_rows(experiment)
            wait_until(lambda: count_rows(experiment) >= grown + 30, driver)
            driver.send_signal(signal.SIGTERM)
            driver.wait(timeout=120)
    words, rows = words_of(experiment), rows_of(experiment)
    assert driver.returncode == TERMINATED, words
    assert words.count(RESTART) == 1 and words.count("resumed from") == 2, words  # growing is no failure
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1)) and 60 <= fewer < grown < len(rows)
    assert [row["epoch"] for row in rows] == [1 + index // 8 for index in range(len(rows))]  # 64 rows, batches of 8


def test_a_cluster_lost_with_its_head_is_replaced_by_another(cluster, over_nodes, reference_of, tmp_path):
    experiment = over_nodes()
    with cluster() as first, started_node(first), started_node(first), started_driver(first, tmp_path) as driver:
        wait_until(lambda: count_rows(experiment) >= 60, driver)
        first.end(signal.SIGKILL)
        driver.wait(timeout=300)
    assert driver.returncode != 0 and not experiment.folder.exists("final_metrics.json")
    with cluster() as second, started_node(second), started_node(second), started_driver(second, tmp_path) as driver:
        driver.wait(timeout=400)
    assert driver.returncode == 0 and "resumed from" in words_of(experiment), words_of(experiment)
    assert_same(experiment, reference_of(experiment))


def test_a_cluster_ended_mid_run_leaves_no_process_or_folder(cluster, over_nodes, tmp_path):
    experiment = over_nodes(epochs=100_000)
    with cluster() as head:
        with started_node(head), started_node(head), started_driver(head, tmp_path) as driver:
            wait_until(lambda: count_rows(experiment) >= 10, driver)
        family = [psutil.Process(head._head.pid), *psutil.Process(head._head.pid).children(recursive=True)]
        folder = head._folder
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in family)
    assert not os.path.exists(folder)
