"""The `list` verb."""

from ray_jobs.cli import DONE, main
from ray_jobs.settings.builtin_experiments import list_builtin_experiments
from tests.ray_jobs.command import call


def test_every_experiment_is_listed_in_its_group(capsys):
    assert main(["list"]) == DONE
    out = capsys.readouterr().out
    titles = ["demonstrations", "published results", "searches"]
    assert [line for line in out.splitlines() if line in titles] == titles
    for each in list_builtin_experiments():
        assert out.index(f"\n{each.name} ") > out.index(each.group) and each.summary in out
    assert "quintet train demo/flow_matching" in out


def test_json_has_name_group_summary_and_file(capsys):
    code, summary, _ = call(capsys, "list")
    assert code == DONE and len(summary["experiments"]) == len(list_builtin_experiments())
    first = summary["experiments"][0]
    assert (first["name"], first["group"]) == ("demo/flow_matching", "demonstrations")
    assert first["file"].endswith("ray_jobs/experiments/demo/flow_matching.yaml")
