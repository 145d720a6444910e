"""Answers to dropped files: predicted into a folder by the code of `predict`, and prepared to be looked at."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from data_pipelines.readers.bad_file import BadFileError, few
from data_pipelines.readers.natural_order import natural_key
from data_pipelines.storage.folder import Folder
from ray_jobs.app.previews import Shown, is_showable, make_preview
from trainables.contract.prediction import Input, Row
from trainables.contract.predictor import PredictionOptions, Predictor, SavedModel
from trainables.inference.loading import choose_device
from trainables.inference.model_files import load_state, load_task
from trainables.inference.predict_folder import PredictionPlan, predict_and_write, predict_folder
from trainables.inference.prediction_record import RECORD, Result
from trainables.workloads import predictor_class

MOST_SHOWN = 40
"""Pictures on the page; the files to download are all."""


@dataclass(frozen=True)
class Answer:
    """Results of one call."""

    faults: Sequence[str] = ()
    """What could not be done, and why."""
    rows: Sequence[Row] = ()
    """Those of `predictions.csv`."""
    shown: Sequence[Shown] = ()
    """Pictures over all inputs; then those that were dropped, each followed by its results."""
    num_hidden: int = 0
    """Further pictures, which are among the files alone."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """All results in full form, by their names below the folder of the results."""


class AppModel:
    """A model that is loaded once and predicts dropped files; each call deletes the results of the last one."""

    def __init__(self, model: SavedModel, folder: Path) -> None:
        """Load the weights; each call gets a folder of its own in `folder`.

        Raises ValueError for damaged weights, and for a workload that predicts nothing.
        """
        self.model, self.folder = model, folder
        self.predictor_class: type[Predictor[Any]] = predictor_class(model.workload.name)
        self._device = choose_device()
        self._task = load_task(model, load_state(model), self._device)

    def answer(self, files: Sequence[Path], options: PredictionOptions) -> Answer:
        """Predict the dropped files, or draw samples if the workload takes none; one call at a time.

        Raises ValueError when there is nothing to predict, or an option does not suit the model.
        """
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        call = Path(mkdtemp(dir=self.folder))  # of a new name, as a browser keeps pictures by their address
        source = Folder(str(self._take(files, call / "dropped"))) if files else None
        if source is None and self.predictor_class.needs_input:
            raise ValueError(f"there is no file yet; drop one ({', '.join(self.predictor_class.suffixes)})")
        out = Folder(str(call / "results"))
        predictor = self.predictor_class(self._task, self.model, options, self._device)
        originals: dict[str, Path] = {}

        def work(inputs: Sequence[Input]) -> Iterator[Result]:
            originals.update({item.name: Path(item.root.full(item.name)) for item in inputs if item.root})
            return (predict_and_write(predictor, item, out) for item in inputs)

        summary = predict_folder(PredictionPlan(self.model, options, out), source, work, on_bad_file="skip")
        return _collect(call, originals, summary)

    def _take(self, files: Sequence[Path], folder: Path) -> Path:
        """Copy the files into one folder, as `predict` reads them."""
        suffixes, names = self.predictor_class.suffixes, [file.name for file in files]
        if not any(file.suffix.lower() in suffixes for file in files):
            raise ValueError(f"{few(names)}: of no known kind; expected {', '.join(suffixes)}")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"several files are called {few(twice)}; give them other names, or drop one at a time")
        folder.mkdir()
        for file in files:
            shutil.copyfile(file, folder / file.name)
        return folder


def _collect(call: Path, originals: Mapping[str, Path], summary: Mapping[str, Any]) -> Answer:
    out = call / "results"
    done = Folder(str(out)).read_json(RECORD)["inputs"]
    results = {name: sorted(done[name]["files"], key=_order) for name in done}
    tables = summary["tables"] if done else []
    faults = [f"{name}: {fault}" for name, fault in summary["faults"].items()]
    candidates = [Shown(out / file, file, is_wide=True) for file in tables]
    for name, files in results.items():
        candidates += [Shown(originals[name], f"input {name}")] if name in originals else []
        candidates += [Shown(out / file, file) for file in files]
    candidates = [candidate for candidate in candidates if is_showable(candidate.file)]
    shown: list[Shown] = []
    for candidate in candidates[:MOST_SHOWN]:
        try:
            shown.append(make_preview(candidate, call / "previews"))
        except BadFileError as error:
            faults.append(f"{candidate.caption} is not shown: {error.fault}")
    rows = [{"input": name, **row} for name in done for row in done[name]["rows"]]
    files = {name: out / name for name in (*tables, *(file for names in results.values() for file in names))}
    return Answer(faults, rows, shown, len(candidates[MOST_SHOWN:]), files)


def _order(file: str) -> tuple[int, list[Any]]:
    """Return a sort key with files before those in folders, each in natural order."""
    parts = Path(file).parts
    return len(parts), [natural_key(Path(part)) for part in parts]
