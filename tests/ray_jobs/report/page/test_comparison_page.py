"""Several runs side by side: the settings that differ first, then results and curves."""

from ray_jobs.report.page.comparison_page import build_comparison_page
from ray_jobs.report.record.run_record import gather_run
from tests.ray_jobs.report.conftest import make_row


def compare(*folders):
    return build_comparison_page([gather_run(folder) for folder in folders], lambda name: f"{name}.html")


def tables(page):
    return {table.name: [[str(cell) for cell in row] for row in table.rows] for table in page.tables()}


def test_only_settings_that_differ_are_named_and_come_first(write_run):
    first = write_run("first", settings={"workload": {"name": "toy", "width": 4}, "seed": 1})
    second = write_run("second", settings={"workload": {"name": "toy", "width": 8}, "seed": 1})
    page = compare(first, second)
    assert page.sections[0].name == "Settings that differ"
    assert tables(page)["settings"] == [["workload.width", "4", "8"]]
    assert [head.address for head in page.sub] == ["first.html", "second.html"]


def test_results_and_curves_are_side_by_side(write_run):
    rows = [make_row(step, **({"test/mse": 1.0} if step == 20 else {})) for step in range(1, 21)]
    page = compare(write_run("first"), write_run("second", rows=rows))
    results = tables(page)["results"]
    assert results[0] == ["test/mse", "2.0", "1.0"] and results[1] == ["baseline/test/mse", "4.0", "None"]
    charts = list(page.charts())
    assert charts[0].title == "test/mse" and [line.name for line in charts[0].lines] == ["first", "second"]
    assert [line.colour for line in charts[0].lines] == ["c0", "c1"]


def test_scores_are_drawn_over_multiply_accumulates(write_run):
    def write(name, macs):
        return write_run(name, rows=[make_row(1, **{"test/mse": macs / 10, "macs": float(macs)})])

    chart = next(iter(compare(write("small", 10), write("large", 30)).charts()))
    assert chart.title == "test/mse over MACs"
    assert [(line.name, list(line.points)) for line in chart.lines] == [("small", [(10, 1.0)]), ("large", [(30, 3.0)])]


def test_runs_of_one_name_are_told_by_their_folders(write_run):
    same = {"name": "same"}
    page = compare(write_run("first", identity=same), write_run("second", identity=same))
    assert [head.text for head in page.sub] == ["first", "second"]
