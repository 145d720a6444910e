"""Package of a job: the files of a folder that go to the cluster, checked for secrets before they are sent."""

import logging
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from ray_jobs.cluster.secret_scan import find_secrets

MAX_BYTES = 100 * 2**20
MAX_FILES = 5_000
NEVER = (".git", ".venv", "venv", "__pycache__", "out", "wandb", ".ruff_cache", ".pytest_cache", ".import_linter_cache")
ADVICE = "leave out what the job does not need by lines in .rayignore (written like .gitignore)"
MAX_SHOWN = 20


def list_package(folder: Path) -> list[str]:
    """List the files, without those that .gitignore and .rayignore leave out, as `ray job submit` would choose them.

    Raises ValueError when they are too many or too big, or when one of them looks like a secret.
    """
    files = sorted(_walk(folder))
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
    from ray._private.runtime_env.packaging import _dir_travel, _get_excludes  # the rules of `ray job submit`

    found: list[Path] = []
    quiet = logging.getLogger("ray_jobs.cluster.working_dir_package")  # Ray logs every ignore file that it meets
    _dir_travel(folder, [_get_excludes(folder, list(NEVER))], found.append, include_gitignore=True, logger=quiet)
    for path in found:
        name = path.relative_to(folder)
        if path.is_file() and not set(name.parts) & set(NEVER):
            yield str(name)


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
