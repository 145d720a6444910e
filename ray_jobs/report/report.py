"""The `report` verb: one self-contained HTML file of a run, of a search, or of several runs side by side."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from data_pipelines.contract.config import expand_home, is_run_name
from data_pipelines.contract.did_you_mean import suggest
from data_pipelines.storage.folder import Folder
from ray_jobs.report.export import export_page
from ray_jobs.report.page.comparison_page import build_comparison_page
from ray_jobs.report.page.content import FindReport, Page
from ray_jobs.report.page.render import render
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
COMPARISON = "comparison.html"


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


def write_reports(references: Sequence[str], out: str | None, export: str | None, storage: str) -> list[str]:
    """Write one report, or the reports of several runs and searches and a comparison of the runs.

    Args:
        references: Folders or names of runs and searches.
        out: File of the only report, or of the comparison; None for `report.html` in the folder itself, and
            `comparison.html` in the storage path.
        export: Local folder for the tables and figures of the same page; None without.
        storage: Storage path in which names are searched.

    Returns:
        The paths of the files, the comparison last.

    Raises:
        ValueError: No reference, one that is neither a run nor a search, or a comparison of less than two runs.
    """
    if not references:
        raise ValueError("report needs a run or a search: quintet report FOLDER_OR_NAME... [--out FILE.html]")
    if len(references) == 1:
        return [write_report(references[0], out, storage, export)]
    folders = [find_folder(reference, storage) for reference in references]
    runs = [folder for folder in folders if folder.exists(IDENTITY)]
    if len(runs) < 2 and (out or export):
        given = " ".join(f"{name} {value}" for name, value in (("--out", out), ("--export", export)) if value)
        raise ValueError(f"{given} is for one report or a comparison of runs, and {len(references)} are given")
    written = [write_report(str(folder), None, storage) for folder in folders]
    if len(runs) < 2:
        return written
    place = _local_place(out)
    home = storage_of(runs[0])
    find = links_from(runs[0], place or Path(home.full(COMPARISON)))
    page = build_comparison_page([gather_run(folder) for folder in runs], find)
    return [*written, _write(page, home, COMPARISON, place, export)]


def write_report(reference: str, out: str | None, storage: str, export: str | None = None) -> str:
    """Write the report of a run or of a search; returns its path. The arguments are those of `write_reports`.

    Raises ValueError for a reference that is neither a run nor a search.
    """
    folder, place = find_folder(reference, storage), _local_place(out)
    find = links_from(folder, place)
    is_search = not folder.exists(IDENTITY)
    page = build_search_page(gather_search(folder), find) if is_search else build_run_page(gather_run(folder), find)
    return _write(page, folder, REPORT, place, export)


def _local_place(out: str | None) -> Path | None:
    return expand_home(out, "give --out in full").absolute() if out else None


def _write(page: Page, folder: Folder, name: str, place: Path | None, export: str | None) -> str:
    """Write a page to `place`, or by name into the folder; returns its path."""
    if export:
        export_page(page, Folder(str(expand_home(export, "give --export in full").absolute())))
    content = render(page)
    if place is None:
        folder.write(name, content)
        return str(folder / name)
    place.parent.mkdir(parents=True, exist_ok=True)
    Folder(str(place.parent)).write(place.name, content)
    return str(place)


def find_folder(reference: str, storage: str) -> Folder:
    """Find the folder of a run or a search, by its form: a name has no folder in it, everything else is a path.

    Raises ValueError naming what was searched for, and where.
    """
    if not is_run_name(reference):
        folder = Folder(reference)
        if folder.exists(IDENTITY) or record_exists(folder, TRIALS):
            return folder
        if not folder.exists():
            raise ValueError(f"{reference} does not exist; give a folder that does, or a run's or search's name alone")
        raise ValueError(
            f"{folder} is neither a run ({IDENTITY}) nor a search ({TRIALS}); name one in its {RUNS}/ or {SEARCHES}/"
        )
    search = Folder(storage) / SEARCHES
    if record_exists(search / reference, TRIALS):
        return search / reference
    if run := find_run(storage, reference):
        return run
    known = [PurePosixPath(run.path).name for run in list_runs(storage)] + search.names()
    advice = f"; for what has that name here write ./{reference}" if Path(reference).exists() else ""
    raise ValueError(
        f"{reference!r} has the form of a name, and no run or search in {storage} is called so; "
        f"{suggest(reference, known) if known else 'there are none there; name one elsewhere by its folder'}{advice}"
    )


def links_from(folder: Folder, out: Path | None) -> FindReport:
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
