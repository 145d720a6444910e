"""Log of a search: its messages for the user, and all output of Ray, which is kept off the terminal."""

import time

from data_pipelines.storage.folder import Folder
from ray_jobs.run_folder.append_file import AppendFile
from ray_jobs.terminal import show
from ray_jobs.text_table import TextTable

LOG = "search.log"


class SearchLog:
    """Log file `search.log`, whose lines begin with the time."""

    def __init__(self, folder: Folder):
        self._file = AppendFile(folder, LOG)

    def say(self, *parts: str | TextTable) -> None:
        """Print text and tables, and add them to the file."""
        show(*parts)
        self.append_log("\n".join(map(str, parts)))

    def append_log(self, text: str) -> None:
        """Add text only to the file."""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._file.append("".join(f"{stamp} {line}\n" for line in text.splitlines()).encode())

    def close(self) -> None:
        self._file.close()
