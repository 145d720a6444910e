"""Only public interfaces of other packages are used: nothing whose name begins with an underscore."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("ray_jobs", "trainables", "data_pipelines", "tests", "benchmarks", "examples")
FILES = sorted(
    path for package in ("ray_jobs", "trainables", "data_pipelines") for path in (ROOT / package).rglob("*.py")
)


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def private_uses(tree: ast.AST) -> Iterator[str]:
    """Yield private modules that are imported, and private names that are read or set on a module of others."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                modules.add((alias.asname or alias.name).split(".")[0])
                if is_private(alias.name):
                    yield alias.name
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] not in OURS:
            for alias in node.names:
                modules.add(alias.asname or alias.name)
                if is_private(f"{node.module}.{alias.name}"):
                    yield f"{node.module}.{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            base = ast.unparse(node.value)
            if base.split(".")[0] in modules:
                yield f"{base}.{node.attr}"


def patches(tree: ast.AST) -> Iterator[str]:
    """Yield attributes of imported modules that are set, such as `module.function = ...`."""
    modules = {
        (alias.asname or alias.name).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            if (
                isinstance(target, ast.Attribute)
                and "(" not in ast.unparse(target)
                and ast.unparse(target.value).split(".")[0] in modules
            ):
                yield ast.unparse(target)


@pytest.mark.parametrize("source", ["from ray._private import x", "import torch\ntorch._foreach_lerp_(1)"])
def test_a_private_use_is_found(source):
    assert list(private_uses(ast.parse(source)))


PUBLIC = {"os._exit", "torch.backends.cudnn.benchmark = ..."}
"""What is documented all the same."""


def test_no_private_name_of_others_is_used_or_patched():
    found = {}
    for path in FILES:
        tree = ast.parse(path.read_text())
        uses = {*private_uses(tree), *(f"{name} = ..." for name in patches(tree))} - PUBLIC
        if uses:
            found[str(path.relative_to(ROOT))] = uses
    assert found == {}
