"""Package of a job: the files of a folder that go to the cluster, checked for secrets before they are sent."""

import logging
import os
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

MAX_BYTES = 100 * 2**20
MAX_FILES = 5_000
READ_BYTES = 2**20
"""Bytes of each file that are searched for secrets."""
NEVER = (".git", ".venv", "venv", "__pycache__", "out", "wandb", ".ruff_cache", ".pytest_cache", ".import_linter_cache")
ADVICE = "leave out what the job does not need by lines in .rayignore (written like .gitignore)"

SECRET_NAMES = re.compile(
    r"\.env(\.(?!example|sample|template)\w+)?|\.netrc|\.git-credentials|auth_token|id_(rsa|dsa|ecdsa|ed25519)"
    r"|credentials(\.json)?|.+\.(pem|key|p12|pfx)"
)
SECRET_CONTENTS = {
    "a private key": re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an AWS key": re.compile(rb"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a token of GitHub": re.compile(rb"\bgh[pousr]_[A-Za-z0-9]{36}"),
    "a token of Hugging Face": re.compile(rb"\bhf_[A-Za-z0-9]{30,}"),
    "a key of W&B": re.compile(rb"(?i)wandb_api_key\W{1,4}[0-9a-f]{40}"),
}
SECRET_VARIABLES = re.compile(r".*(KEY|TOKEN|SECRET|PASSWORD)")
MIN_SECRET_LENGTH = 16


def list_package(folder: Path) -> list[str]:
    """List the files, without those that .gitignore and .rayignore leave out, as `ray job submit` would choose them.

    Raises ValueError when they are too many or too big, or when one of them looks like a secret.
    """
    files = sorted(_walk(folder))
    _refuse_links_outside(folder, files)
    sizes = {name: (folder / name).stat().st_size for name in files}
    _refuse_too_much(folder, sizes)
    secrets = [f"  {name}: {why}" for name in files if (why := _find_secret(folder / name))]
    if secrets:
        raise ValueError("\n".join(["secrets would go to the cluster; delete them, or " + ADVICE, *secrets[:20]]))
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


def _find_secret(file: Path) -> str | None:
    if SECRET_NAMES.fullmatch(file.name):
        return "such files hold secrets"
    with file.open("rb") as stream:
        content = stream.read(READ_BYTES)
    for what, pattern in SECRET_CONTENTS.items():
        if pattern.search(content):
            return f"holds {what}"
    for name, value in os.environ.items():
        is_secret = SECRET_VARIABLES.fullmatch(name) and len(value) >= MIN_SECRET_LENGTH
        if is_secret and value.encode() in content:
            return f"holds the value of {name}"
    return None
