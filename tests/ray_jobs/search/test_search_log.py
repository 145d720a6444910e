"""The log of a search."""

from data_pipelines.storage.folder import Folder
from ray_jobs.search.search_log import LOG, SearchLog
from ray_jobs.text_table import TextTable


def test_text_and_tables_stand_on_the_terminal_and_in_the_file(tmp_path, capsys):
    folder = Folder(str(tmp_path))
    SearchLog(folder).say(TextTable(["a", "b"], [["1", "2"]]), "2 of 4 trials over")
    lines = ["a  b", "1  2", "2 of 4 trials over"]
    assert capsys.readouterr().out.splitlines() == lines
    assert [line[20:] for line in folder.read(LOG).decode().splitlines()] == lines
