"""Package of a job: the files of a folder that go to the cluster, checked for secrets before they are sent."""

import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from pathspec import GitIgnoreSpec

from data_pipelines.readers.bad_file import few, printable
from ray_jobs.cluster.secret_scan import find_secrets
from ray_jobs.terminal import print_text

MAX_BYTES = 100 * 2**20
MAX_FILES = 5_000
IGNORE_FILES = (".gitignore", ".rayignore")
NEVER = (".git", ".venv", "venv", "__pycache__", "out", "wandb", ".ruff_cache", ".pytest_cache", ".import_linter_cache")
ADVICE = "leave out what the job does not need by lines in .rayignore (written like .gitignore)"
MAX_SHOWN = 20


def list_package(folder: Path) -> list[str]:
    """List the files, without those that .gitignore and .rayignore leave out, as `ray job submit` would choose them.

    Links to nowhere, pipes and sockets are left out, which is said. Raises ValueError when the files are too many or
    too big, when the name of one is no UTF-8, or when one looks like a secret.
    """
    found = sorted(_walk(folder))
    files = [name for name in found if (folder / name).is_file()]
    if others := sorted(set(found) - set(files)):
        print_text(f"not sent, as they are links to nowhere, pipes or sockets: {few(others)}", is_error=True)
    if others := [name for name in files if printable(name) != name]:
        raise ValueError(f"a package holds names in UTF-8 alone, and these are none: {few(others)}; {ADVICE}")
    _refuse_links_outside(folder, files)
    sizes = {name: (folder / name).stat().st_size for name in files}
    _refuse_too_much(folder, sizes)
    _refuse_secrets(folder, files)
    return files


def write_package(folder: Path, files: list[str], target: Path) -> None:
    """Write a zip file that depends only on names, contents and modes, so that the cluster recognises an old one."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for name in files:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (folder / name).stat().st_mode << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            package.writestr(entry, (folder / name).read_bytes())


def _walk(folder: Path) -> Iterator[str]:
    """Yield the files that no ignore file in their folder or in one above leaves out."""
    specs: list[tuple[str, GitIgnoreSpec]] = []
    for place, folders, names in os.walk(folder, followlinks=True, onerror=_refuse_unreadable):
        parent = Path(place).relative_to(folder).as_posix()
        specs = [(root, spec) for root, spec in specs if _is_below(parent, root)]
        texts = [Path(place, name).read_bytes() for name in IGNORE_FILES if name in names]
        lines = [line for text in texts for line in os.fsdecode(text).splitlines()]
        specs.append((parent, GitIgnoreSpec.from_lines(lines)))
        folders[:] = [each for each in folders if each not in NEVER and not _is_ignored(parent, f"{each}/", specs)]
        _refuse_links_up(Path(place), folders)
        yield from (_join(parent, each) for each in names if each not in NEVER and not _is_ignored(parent, each, specs))


def _refuse_unreadable(error: OSError) -> None:
    raise ValueError(f"{error.filename} cannot be read ({error.strerror}), and would be left out; {ADVICE}")


def _is_ignored(parent: str, name: str, specs: list[tuple[str, GitIgnoreSpec]]) -> bool:
    path = _join(parent, name)
    return any(spec.match_file(path if root == "." else path.removeprefix(f"{root}/")) for root, spec in specs)


def _refuse_links_up(place: Path, folders: list[str]) -> None:
    for name in folders:
        if (place / name).is_symlink() and place.resolve().is_relative_to((place / name).resolve()):
            raise ValueError(
                f"{place / name} links to a folder that it lies in, and would be sent without end; {ADVICE}"
            )


def _is_below(path: str, root: str) -> bool:
    return root in (".", path) or path.startswith(f"{root}/")


def _join(parent: str, name: str) -> str:
    return name if parent == "." else f"{parent}/{name}"


def _refuse_links_outside(folder: Path, files: list[str]) -> None:
    root = folder.resolve()
    outside = [name for name in files if not (folder / name).resolve().is_relative_to(root)]
    if outside:
        raise ValueError(f"links out of {folder} would be followed: {', '.join(outside[:5])}; {ADVICE}")


def _refuse_too_much(folder: Path, sizes: Mapping[str, int]) -> None:
    total = sum(sizes.values())
    if total <= MAX_BYTES and len(sizes) <= MAX_FILES:
        return
    counts = Counter(name.partition("/")[0] if "/" in name else "." for name in sizes)
    biggest = sorted(sizes, key=lambda name: -sizes[name])[:5]
    raise ValueError(
        "\n".join(
            [
                f"{folder} would be a package of {len(sizes):,} files and {total / 2**20:,.1f} MiB, and at most "
                f"{MAX_FILES:,} and {MAX_BYTES / 2**20:,.0f} MiB are sent; {ADVICE}. The biggest:",
                *(f"  {name}: {sizes[name] / 2**20:,.1f} MiB" for name in biggest),
                *(f"  {name}/: {count:,} files" for name, count in counts.most_common(5)),
            ]
        )
    )


def _refuse_secrets(folder: Path, files: list[str]) -> None:
    secrets = [f"  {where}" for where in find_secrets(folder, files)]
    if not secrets:
        return
    more = [f"  and {len(secrets) - MAX_SHOWN:,} more"] if len(secrets) > MAX_SHOWN else []
    advice = "secrets would go to the cluster; delete them, or " + ADVICE
    raise ValueError("\n".join([advice, *secrets[:MAX_SHOWN], *more]))
