"""The `report` verb: one self-contained HTML file of a run or of a search."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from data_pipelines.contract.config import expand_home
from data_pipelines.contract.did_you_mean import suggest
from data_pipelines.storage.folder import Folder
from ray_jobs.report.page.run_page import build_run_page
from ray_jobs.report.page.search_page import build_search_page
from ray_jobs.report.record.run_record import gather_run
from ray_jobs.report.record.search_record import gather_search
from ray_jobs.report.record.tolerant_io import storage_of
from ray_jobs.run_folder.identity import IDENTITY
from ray_jobs.run_folder.record_file import record_exists
from ray_jobs.runs.model_references import RUNS, find_run, list_runs
from ray_jobs.search.sweep_plan import SEARCHES
from ray_jobs.search.trials import TRIALS
from ray_jobs.settings.experiment import Storage

REPORT = "report.html"


def read_storage(overrides: Sequence[str]) -> str:
    """Return the storage path in which names are searched: the default, or that of `--set storage.path=...`.

    Raises ValueError for any other setting, as a report has none.
    """
    paths = [override.removeprefix("storage.path=") for override in overrides]
    if any(path == override for path, override in zip(paths, overrides, strict=True)):
        raise ValueError(
            f"--set {' '.join(overrides)}: a report has no setting but storage.path, where names are looked for"
        )
    return Storage(path=paths[-1]).path if paths else Storage().path


def write_reports(references: Sequence[str], out: str | None, storage: str) -> list[str]:
    """Write several reports; returns their paths. Raises ValueError for none, and for several with one `out`.

    Args:
        references: Folders or names of runs and searches.
        out: File to write to; None for `report.html` in the folder itself.
        storage: Storage path in which names are searched.
    """
    if not references:
        raise ValueError("report needs a run or a search: quintet report FOLDER_OR_NAME... [--out FILE.html]")
    if out is not None and len(references) > 1:
        raise ValueError(f"--out {out} is one file, and {len(references)} reports are asked for; leave it out")
    return [write_report(reference, out, storage) for reference in references]


def write_report(reference: str, out: str | None, storage: str) -> str:
    """Write the report of a run or of a search.

    Args:
        reference: Folder or name of the run or search.
        out: File to write to; None for `report.html` in the folder itself.
        storage: Storage path in which names are searched.

    Returns:
        The path of the report.

    Raises:
        ValueError: The reference is neither a run nor a search.
    """
    folder = find_folder(reference, storage)
    is_search = not folder.exists(IDENTITY)
    place = expand_home(out, "give --out in full").absolute() if out else None
    link = links_from(folder, place)
    content = build_search_page(gather_search(folder), link) if is_search else build_run_page(gather_run(folder), link)
    if place is None:
        folder.write(REPORT, content)
        return str(folder / REPORT)
    place.parent.mkdir(parents=True, exist_ok=True)
    Folder(str(place.parent)).write(place.name, content)
    return str(place)


def find_folder(reference: str, storage: str) -> Folder:
    """Find the folder of a run or a search. Raises ValueError naming what was searched for, and where."""
    folder = Folder(reference)
    if folder.exists(IDENTITY) or record_exists(folder, TRIALS):
        return folder
    if folder.exists():
        raise ValueError(
            f"{folder} is neither a run ({IDENTITY}) nor a search ({TRIALS}); name one in its {RUNS}/ or {SEARCHES}/"
        )
    search = Folder(storage) / SEARCHES
    if "/" not in reference and record_exists(search / reference, TRIALS):
        return search / reference
    if run := find_run(storage, reference):
        return run
    known = [PurePosixPath(run.path).name for run in list_runs(storage)] + search.names()
    raise ValueError(
        f"{reference!r} is no path, and no run or search in {storage}; "
        f"{suggest(reference, known) if known else 'there are none there'}"
    )


def links_from(folder: Folder, out: Path | None) -> Callable[[str], str | None]:
    """Return a function that finds the report of another run or search in the same storage by name.

    The address is relative to the file of this report, which is `out` or lies in `folder`.
    """
    storage = storage_of(folder)

    def link(name: str) -> str | None:
        for place in (f"{RUNS}/{name}/{REPORT}", f"{SEARCHES}/{name}/{REPORT}"):
            if storage.exists(place) and (out is None or storage.is_local):
                return quote(f"../../{place}" if out is None else os.path.relpath(storage.full(place), out.parent))
        return None

    return link
