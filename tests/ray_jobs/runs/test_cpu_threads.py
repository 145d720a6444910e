"""Threads of a training without Ray follow what the job may use, not what the machine has."""

import os

import pytest

from ray_jobs.runs import cpu_threads
from ray_jobs.runs.cpu_threads import count_usable_cpus


@pytest.fixture(autouse=True)
def free(monkeypatch, tmp_path):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    monkeypatch.setattr(cpu_threads, "CGROUP_LIMIT", tmp_path / "cpu.max")
    monkeypatch.setattr(cpu_threads, "CGROUP_V1_LIMIT", (tmp_path / "quota", tmp_path / "period"))


def test_without_limits_all_cpus_are_used():
    assert count_usable_cpus() == (64, "the CPUs of the machine")


def test_omp_num_threads_decides(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert count_usable_cpus() == (3, "OMP_NUM_THREADS")


@pytest.mark.parametrize("value", ["", "many", "0", "4,2"])
def test_other_words_in_omp_num_threads_are_passed_over(monkeypatch, value):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert count_usable_cpus()[0] == 64


def test_the_affinity_of_the_process_counts(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {4, 5, 6})
    assert count_usable_cpus() == (3, "the CPU affinity of the process")


@pytest.mark.parametrize(("limit", "cpus"), [("200000 100000", 2), ("50000 100000", 1), ("250000 100000", 2)])
def test_the_limit_of_the_control_group_counts(tmp_path, limit, cpus):
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert count_usable_cpus() == (cpus, "the limit of the control group")


@pytest.mark.parametrize("limit", ["max 100000", "garbage"])
def test_no_limit_of_the_control_group_is_none(tmp_path, limit):
    (tmp_path / "cpu.max").write_text(limit)
    assert count_usable_cpus()[0] == 64


def test_control_groups_of_version_1_count_too(tmp_path):
    (tmp_path / "quota").write_text("400000\n")
    (tmp_path / "period").write_text("100000\n")
    assert count_usable_cpus()[0] == 4
    (tmp_path / "quota").write_text("-1\n")
    assert count_usable_cpus()[0] == 64
