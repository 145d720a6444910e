"""Writes docs/files.md, the listing of the product's files: `python docs/list_files.py`, or `--check` it."""

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ray_jobs", "trainables", "data_pipelines")
LISTING = ROOT / "docs/files.md"
HEADER = """# Files

One line for each product file, by folder: its name and the first sentence of its docstring, or of the comment at the
top of an experiment. `make files` writes this page; do not edit it. [The map](map.md) has the folders.
"""


def main(arguments: list[str]) -> int:
    """Write the listing, or with `--check` compare it. Returns the exit code."""
    return write_or_check(LISTING, lambda: build_listing(ROOT), arguments)


def write_or_check(page: Path, build: Callable[[], str], arguments: list[str]) -> int:
    """Write what `build` returns to a page, or with `--check` compare it. Returns the exit code."""
    try:
        content = build()
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    is_same = page.is_file() and page.read_text(encoding="utf-8") == content
    if "--check" not in arguments:
        page.write_text(content, encoding="utf-8")
        return 0
    if not is_same:
        print(f"{page.relative_to(ROOT)} is not up to date; run: make files", file=sys.stderr)
    return 0 if is_same else 1


def build_listing(root: Path) -> str:
    """Return the page, one section for each folder. Raises ValueError naming files without a description."""
    folders: dict[str, list[str]] = {}
    silent: list[str] = []
    for file in product_files(root):
        path = file.relative_to(root).as_posix()
        sentence = first_sentence(describe(file))
        lines = folders.setdefault(file.parent.relative_to(root).as_posix(), [])
        if not sentence:
            silent.append(path)
        elif file.name == "__init__.py":
            lines.insert(0, f"{sentence}\n")
        else:
            lines.append(f"- [`{file.name}`](../{path}): {sentence}")
    if silent:
        raise ValueError(f"files without a docstring or a comment at their top: {', '.join(silent)}")
    sections = ["\n".join([f"## {folder}", "", *lines, ""]) for folder, lines in sorted(folders.items())]
    return re.sub(r"\n{3,}", "\n\n", "\n".join([HEADER, *sections]))


def product_files(root: Path) -> Iterator[Path]:
    """Yield the modules and experiments of the three packages, in a fixed order."""
    for package in PACKAGES:
        files = [*(root / package).rglob("*.py"), *(root / package).rglob("*.yaml")]
        yield from sorted(file for file in files if "__pycache__" not in file.parts)


def describe(file: Path) -> str:
    """Return the docstring of a module, or the comment at the top of a YAML file; empty when there is none."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    comment = re.match(r"(?:#[^\n]*\n)*", text)
    return re.sub(r"(?m)^# ?", "", comment[0]) if comment else ""


def first_sentence(text: str) -> str:
    """Return the first sentence of a text as one line."""
    paragraph = re.sub(r"\s+", " ", text.strip().partition("\n\n")[0])
    return re.split(r"(?<=[.!?]) (?=[A-Z`])", paragraph)[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
