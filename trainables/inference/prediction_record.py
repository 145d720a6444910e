"""The record of predictions in the folder of the results: finished inputs are not predicted again.

`predictions.json` says which model and options made what; `predictions.csv` is the table of all rows. While a
prediction runs, its results are appended as parts, so that an interrupted one goes on where it was.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypedDict

from data_pipelines.storage.folder import Folder
from trainables.contract.prediction import Input, Row, write_csv

RECORD = "predictions.json"
TABLE = "predictions.csv"
PARTS = ".predictions"


class Result(TypedDict):
    """Result of one input."""

    name: str
    rows: list[Row]
    files: list[str]
    fault: str | None
    """Reason for which a file cannot be used; there are neither rows nor files then."""


class PredictionRecord:
    """Results of all calls for one folder, of one model and one set of options."""

    def __init__(self, out: Folder, header: Mapping[str, Any], notes: Mapping[str, Any]) -> None:
        """Read what is there.

        `header` is plain data that determine the results (model, options, inputs), `notes` further plain data to write
        down.

        Raises:
            ValueError: The results there are of another model, or of other options.
        """
        self._out, self._header, self._notes = out, header, notes
        self._done: dict[str, dict[str, Any]] = {}
        self._waiting: dict[str, dict[str, Any]] = {}
        self._parts = out.names(PARTS)
        if out.exists(RECORD):
            self._take(out.read_json(RECORD), RECORD)
        for part in self._parts:
            self._take(out.read_json(f"{PARTS}/{part}"), part)

    def _take(self, content: Mapping[str, Any], origin: str) -> None:
        for key, value in self._header.items():
            found = content.get(key)
            if found != value:
                other = _difference(key, found, value)
                raise ValueError(f"{self._out}/{origin} is of other predictions: {other}; give another --out")
        self._done |= content["inputs"]

    def remaining(self, inputs: Iterable[Input]) -> list[Input]:
        """Return the inputs without a result, and those whose file was replaced since."""
        return [item for item in inputs if not self._is_done(item)]

    def _is_done(self, item: Input) -> bool:
        known = self._done.get(item.name)
        return known is not None and [known["size"], known["modified_ns"]] == [item.size, item.modified_ns]

    def add(self, item: Input, result: Result) -> None:
        """Add a result, which is stored by the next `flush`."""
        entry = {"size": item.size, "modified_ns": item.modified_ns, "files": result["files"], "rows": result["rows"]}
        self._done[item.name] = self._waiting[item.name] = entry

    def flush(self) -> None:
        """Store the results since the last call as one part."""
        if self._waiting:
            name = f"{len(self._parts):06d}.json"
            self._write(f"{PARTS}/{name}", {**self._header, "inputs": self._waiting})
            self._parts.append(name)
            self._waiting = {}

    def rows(self, inputs: Sequence[Input]) -> list[Row]:
        """Return the rows of all inputs that have a result, in their order, then those of earlier calls."""
        names = [item.name for item in inputs]
        ordered = [name for name in names if name in self._done] + sorted(self._done.keys() - set(names))
        return [{"input": name, **row} for name in ordered for row in self._done[name]["rows"]]

    def finish(self, inputs: Sequence[Input]) -> None:
        """Write the record and the table, and delete the parts."""
        self.flush()
        self._out.write(TABLE, write_csv(self.rows(inputs)))
        self._write(RECORD, {**self._notes, **self._header, "inputs": self._done})
        self._out.delete(PARTS)
        self._parts = []

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write JSON whose keys keep their order, which is that of the table's columns."""
        self._out.write(name, json.dumps(content, indent=1).encode())


def _difference(key: str, there: Any, here: Any) -> str:
    if not (isinstance(there, dict) and isinstance(here, dict)):
        return f"`{key}` is {there} there and {here} here"
    names = [name for name in here.keys() | there.keys() if there.get(name) != here.get(name)]
    return ", ".join(f"`{name}` is {there.get(name)} there and {here.get(name)} here" for name in sorted(names))
