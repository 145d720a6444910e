"""An answer as HTML and as a table."""

from pathlib import Path

from ray_jobs.app.answers import Answer
from ray_jobs.app.markup import build_table, draw_figures, find_probabilities
from ray_jobs.app.previews import Shown


def test_names_of_files_become_no_markup():
    name = "<b>&\"'#?.png"
    found = draw_figures(Answer(shown=[Shown(Path("/x") / name, name)], files={name: Path("/x") / name}))
    assert "<b>" not in found and "&lt;b&gt;&amp;&quot;&#x27;#?.png" in found
    assert found.count("/gradio_api/file=/x/%3Cb%3E%26%22%27%23%3F.png") == 3


def test_clips_are_played_and_pictures_shown():
    found = draw_figures(Answer(shown=[Shown(Path("/a.mp4"), "a"), Shown(Path("/b.gif"), "b", is_wide=True)]))
    assert '<video src="/gradio_api/file=/a.mp4"' in found and '<img src="/gradio_api/file=/b.gif"' in found
    assert found.count('<figure class="wide">') == 1


def test_many_pictures_are_small_and_the_rest_is_counted():
    few, many = (draw_figures(Answer(shown=[Shown(Path("a.png"), "a")] * count, num_hidden=count)) for count in (2, 7))
    assert 'class="pictures"' in few and 'class="pictures many"' in many and "7 more are among the results" in many


def test_a_single_row_stands_upright_without_its_probabilities():
    rows = [{"input": "a.png", "class": "cat", "p(cat)": 0.75, "p(dog)": 0.25, "note": None}]
    assert find_probabilities(rows) == {"cat": 0.75, "dog": 0.25}
    assert build_table(rows)["data"] == [["input", "a.png"], ["class", "cat"], ["note", ""]]


def test_rows_are_a_table_with_all_columns():
    rows = [{"input": "a", "p(cat)": 1 / 3}, {"input": "b", "reason": "noise", "is_good": False}]
    assert find_probabilities(rows) == {}
    assert build_table(rows) == {
        "headers": ["input", "p(cat)", "reason", "is_good"],
        "data": [["a", "0.3333", "", ""], ["b", "", "noise", "False"]],
    }
