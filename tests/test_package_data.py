"""The wheel: every file of the packages that is no module is declared as package data."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE_DATA: dict[str, list[str]] = SETTINGS["tool"]["setuptools"]["package-data"]


def test_every_file_that_is_no_module_is_package_data():
    for package, patterns in PACKAGE_DATA.items():
        folder = ROOT / package
        files = {file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts}
        others = {file for file in files if file.suffix != ".py"}
        declared = {file for pattern in patterns for file in folder.glob(pattern)}
        assert others == declared, package


def test_every_package_is_marked_as_typed():
    assert all("py.typed" in patterns for patterns in PACKAGE_DATA.values())
    assert set(PACKAGE_DATA) == set(SETTINGS["tool"]["importlinter"]["root_packages"])
