"""From settings to a plan: what cannot work is refused before anything starts, what is settled stays settled."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from data_pipelines.prepared.manifest import read_manifest, save_manifest
from ray_jobs.cluster.resources import machine_cpus
from ray_jobs.runs import planning
from ray_jobs.runs.experiment_loader import load_experiment
from ray_jobs.runs.planning import SETTLED, build_plan, prepare_data
from ray_jobs.settings.builtin_experiments import find_experiment


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    """Planning asks a cluster only when there are workers; here it must not."""

    def refuse(*arguments):
        raise AssertionError("asked for a cluster")

    for name in ("connect", "check_resources", "machine_cpus", "object_store_bytes"):
        monkeypatch.setattr(planning, name, refuse)


def set_free_memory(monkeypatch, num_bytes: float) -> None:
    monkeypatch.setattr(planning.psutil, "virtual_memory", lambda: SimpleNamespace(available=num_bytes))


@pytest.mark.parametrize(("num_workers", "accumulate", "parts"), [(9, 1, 9), (5, 2, 10), (16, 1, 16), (4, 4, 16)])
def test_a_batch_with_too_few_rows_is_refused_before_reading(toy, tmp_path, num_workers, accumulate, parts):
    experiment = toy(scaling={"num_workers": num_workers}, training={"accumulate": accumulate})
    with pytest.raises(ValueError, match=rf"training\.batch_size=8 .* at least .* = {parts}$"):
        build_plan(experiment)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"scaling": {"num_workers": 0}}, r"several workers .* `scaling.num_workers` is 0; give 2 or more"),
        ({"scaling": {"num_workers": 1}}, r"several workers .* `scaling.num_workers` is 1; give 2 or more"),
        ({"training": {"channels_last": True}}, r"`training.channels_last` orders weights"),
    ],
)
def test_what_cannot_be_sharded_is_refused_before_reading(toy, tmp_path, sections, words):
    scaling = {"num_workers": 2, **sections.get("scaling", {}), "parallel": "fsdp"}
    with pytest.raises(ValueError, match=words):
        build_plan(toy(scaling=scaling, training=sections.get("training", {})))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("installed", "words"), [("2.14.1+cpu", "2.14.1.cpu is installed"), ("2.15.0", "for a clus")])
def test_low_precision_needs_a_torch_that_can_shard_it(toy, monkeypatch, installed, words):
    monkeypatch.setattr(planning, "version", lambda package: installed)
    with pytest.raises((ValueError, AssertionError), match=words):
        build_plan(toy(scaling={"num_workers": 2, "parallel": "fsdp"}, training={"precision": "bf16"}))


def test_one_process_evaluates_a_sharded_run(toy):
    assert build_plan(toy(scaling={"parallel": "fsdp"}), trains=False).scaling.parallel == "fsdp"


def test_a_batch_larger_than_the_data_is_refused_with_sizes(toy):
    with pytest.raises(ValueError, match=r"training\.batch_size=8 is more than the 7 rows"):
        build_plan(toy(workload={"num_rows": 7}))
    assert build_plan(toy(workload={"num_rows": 8})).manifest.num_rows("train") == 8


def test_workers_are_asked_of_the_cluster(toy):
    with pytest.raises(AssertionError, match="asked for a cluster"):
        build_plan(toy(scaling={"num_workers": 2}))


def test_a_plan_holds_the_run_and_its_places(toy, tmp_path):
    experiment = toy()
    plan = build_plan(experiment)
    assert plan.run == experiment.run and type(plan.run) is not type(experiment)
    assert (plan.run_id, plan.folder.path) == (experiment.run_id, f"{tmp_path}/runs/{experiment.run_id}")
    assert plan.prepared.path == f"{tmp_path}/data/toy-64-None"
    assert plan.manifest == read_manifest(plan.prepared)
    assert plan.num_threads == 1


def test_a_raw_file_that_cannot_be_opened_is_no_fault_of_the_storage(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    overrides = [f"workload.data.path={tmp_path}/raw", f"storage.path={tmp_path}", "workload.data.source=folder"]
    experiment = load_experiment(find_experiment("flow_matching_cifar10"), [*overrides, "workload.data.size=8"])
    for file, words in (
        ("raw/a/b.png", r"/raw/a/b\.png: cannot be opened \(Permission denied\); allow it to be read, or remove it$"),
        ("data/x", r"^the data cannot be prepared in .*/data/x'; give storage\.path a folder that can be written"),
    ):

        def refuse(*arguments, name=f"{tmp_path}/{file}", **options):
            raise PermissionError(errno.EACCES, "Permission denied", name)

        monkeypatch.setattr(planning, "prepare", refuse)
        with pytest.raises(ValueError, match=words):
            prepare_data(experiment)


def test_data_are_prepared_once(toy, tmp_path, monkeypatch):
    experiment = toy()
    folder, manifest = prepare_data(experiment)
    times = {name: folder.modified_ns(name) for name in folder.names()}
    monkeypatch.setattr("tests.toy_workload.pipeline.ToyPipeline.read_raw", None)
    again, unchanged = prepare_data(experiment)
    assert (str(again), unchanged) == (str(folder), manifest)
    assert {name: folder.modified_ns(name) for name in folder.names()} == times


@pytest.mark.parametrize(("share", "feed"), [(0.29, "resident"), (0.31, "stream")])
def test_a_set_is_resident_when_it_takes_little_of_the_memory(toy, monkeypatch, share, feed):
    _, manifest = prepare_data(toy())
    set_free_memory(monkeypatch, sum(manifest.decoded_bytes.values()) / share)
    assert build_plan(toy()).feed == feed


@pytest.mark.parametrize("feed", ["resident", "stream"])
def test_a_given_feed_is_kept_whatever_the_memory(toy, monkeypatch, feed):
    set_free_memory(monkeypatch, 1 if feed == "resident" else 2**50)
    assert build_plan(toy(training={"feed": feed})).feed == feed


def test_resolved_settings_survive_a_change_of_machine(toy, monkeypatch):
    experiment = toy(scaling={"threads_per_worker": None})
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    set_free_memory(monkeypatch, 2**50)
    first = build_plan(experiment)
    assert (first.feed, first.num_threads) == ("resident", 7)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert build_plan(experiment).num_threads == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    build_plan(experiment)
    experiment.folder.write("checkpoints/step_000000001/manifest.json", b"{}")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    set_free_memory(monkeypatch, 1)
    again = build_plan(experiment)
    assert (again.feed, again.num_threads) == ("resident", 7)
    settled = {
        "feed": "resident",
        "num_threads": 7,
        "threads_reason": "OMP_NUM_THREADS",
        "source_hash": first.manifest.source_hash,
    }
    assert experiment.folder.read_json(SETTLED) == settled
    fresh = build_plan(toy(scaling={"threads_per_worker": None}, tracking={"run_name": "fresh"}))
    assert (fresh.feed, fresh.num_threads) == ("stream", 3)


def test_a_resume_on_changed_data_is_refused_with_both_hashes(toy):
    experiment = toy()
    manifest = build_plan(experiment).manifest
    changed = manifest.model_copy(update={"source_hash": "changed"})
    folder, _ = prepare_data(experiment)
    save_manifest(folder, changed)
    assert build_plan(experiment).manifest == changed
    save_manifest(folder, manifest)
    build_plan(experiment)
    experiment.folder.write("checkpoints/step_000000001/manifest.json", b"{}")
    build_plan(experiment)
    save_manifest(folder, changed)
    with pytest.raises(ValueError, match=rf"was {manifest.source_hash}, and in {folder} it is changed; .* --new"):
        build_plan(experiment)
    assert build_plan(toy(tracking={"run_name": "fresh"})).manifest == changed


def test_given_threads_win_over_resolved_ones(toy, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert build_plan(toy(scaling={"threads_per_worker": None})).num_threads == 7
    assert build_plan(toy(scaling={"threads_per_worker": 2})).num_threads == 2


@pytest.mark.parametrize(
    ("num_workers", "cpus_per_worker", "num_threads"), [(1, 1, 16), (2, 1, 8), (8, 1, 2), (8, 3, 3), (32, 0.5, 1)]
)
def test_threads_are_shared_as_if_on_one_machine(toy, monkeypatch, num_workers, cpus_per_worker, num_threads):
    machines = [{"Alive": True, "Resources": {"CPU": 16.0}}] * 3 + [{"Alive": False, "Resources": {"CPU": 64.0}}]
    machines.append({"Alive": True, "Resources": {}})
    monkeypatch.setattr("ray.nodes", lambda: machines)
    monkeypatch.setattr(planning, "machine_cpus", machine_cpus)
    for name, answer in (("connect", None), ("check_resources", False), ("object_store_bytes", 2**40)):
        monkeypatch.setattr(planning, name, lambda *arguments, answer=answer: answer)
    scaling = {"num_workers": num_workers, "cpus_per_worker": cpus_per_worker, "threads_per_worker": None}
    assert build_plan(toy(scaling=scaling, training={"batch_size": 32})).num_threads == num_threads


def test_a_gpu_that_is_not_there_is_refused(toy, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"scaling\.use_gpu=true, but torch sees no GPU"):
        build_plan(toy(scaling={"use_gpu": True}))
    for use_gpu in (None, False):
        assert build_plan(toy(scaling={"use_gpu": use_gpu})).uses_gpu is False


def test_prepared_data_of_other_settings_are_refused(toy, tmp_path):
    folder, _ = prepare_data(toy())
    Path(folder.path).rename(tmp_path / "data/toy-32-None")
    with pytest.raises(ValueError, match="toy-64-None"):
        build_plan(toy(workload={"num_rows": 32}))


def test_progress_counts_every_row(toy):
    seen = []
    prepare_data(toy(), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (80, 80)
    assert seen == sorted(seen)
