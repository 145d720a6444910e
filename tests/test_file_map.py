"""The map of folders, the listing of files and the site's navigation name all there is."""

import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.test_docs import PACKAGES, ROOT, TEXTS, blocks_of, is_hidden, listed_files


def read_map() -> list[str]:
    """Return the paths in the map; those of folders end with a slash."""
    paths: list[str] = []
    folders: list[str] = []
    for line in blocks_of(map_page())[0].splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = re.split(r"\s{2,}", line.strip())[0].split(" ")
        folders = folders[:depth]
        paths += ["".join([*folders, name]) for name in names]
        folders.append(names[0])
    return paths


def map_page() -> str:
    return TEXTS["docs/map.md"]


def folders_with_code() -> set[str]:
    """Return the folders that the map must have: two levels, three in the packages, without what mirrors these."""
    folders: set[str] = set()
    for file in listed_files():
        *parts, _ = file.relative_to(ROOT).parts
        if file.suffix != ".py" or tuple(parts[:2]) in {("tests", package) for package in PACKAGES}:
            continue
        depth = min(len(parts), 3 if parts[0] in PACKAGES else 2)
        folders |= {"/".join(parts[:level]) + "/" for level in range(1, depth + 1)}
    return folders


def test_every_path_in_the_map_is_on_disk():
    paths = read_map()
    assert len(set(paths)) == len(paths)
    for path in paths:
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path


def test_the_map_has_every_code_folder_and_root_file():
    files = {path.name for path in ROOT.iterdir() if path.is_file() and not is_hidden(path.name)}
    missing = (files | folders_with_code()) - set(read_map())
    assert not missing, f"docs/map.md lacks {sorted(missing)}"


def test_the_map_is_short():
    assert len(map_page().splitlines()) <= 60


def test_the_listing_of_files_is_up_to_date():
    result = subprocess.run([sys.executable, "docs/list_files.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_page_of_settings_is_up_to_date():
    """Every setting has a meaning there, too."""
    command = [sys.executable, "docs/list_settings.py", "--check"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_file_without_a_description_is_refused_by_name(tmp_path):
    for package in PACKAGES:
        (tmp_path / package).mkdir()
    (tmp_path / "ray_jobs/described.py").write_text('"""Runs things. Quickly."""')
    build_listing = runpy.run_path(str(ROOT / "docs/list_files.py"))["build_listing"]
    assert "(../ray_jobs/described.py): Runs things.\n" in build_listing(tmp_path)
    (tmp_path / "trainables/silent.py").write_text("x = 1")
    with pytest.raises(ValueError, match=r"trainables/silent\.py"):
        build_listing(tmp_path)


def pages_of(entries: list[Any]) -> Iterator[str]:
    """Yield the pages in a navigation of MkDocs, at any depth."""
    for entry in entries:
        for content in entry.values():
            yield from [content] if isinstance(content, str) else pages_of(content)


def test_every_page_is_in_the_navigation_of_the_site():
    navigation = list(pages_of(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    assert sorted(navigation) == sorted(
        page.relative_to(ROOT / "docs").as_posix() for page in ROOT.glob("docs/**/*.md")
    )
