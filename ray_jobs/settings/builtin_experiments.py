"""Experiments that come with the package, and the file of an experiment given by its path or by such a name."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
ENDINGS = (".yaml", ".yml")
GROUPS = {"demo": "demonstrations", "": "published results", "search": "searches"}
"""Titles by folder, in the order in which they are listed."""


@dataclass(frozen=True)
class BuiltinExperiment:
    """Experiment of the package."""

    name: str
    """Its path below the folder of experiments, without the ending: `demo/flow_matching`."""
    group: str
    summary: str
    """The first line of its file."""
    file: Path


def list_builtin_experiments() -> list[BuiltinExperiment]:
    """Return all experiments of the package, group by group, in alphabetical order."""
    found = []
    for folder, group in GROUPS.items():
        for file in sorted((FOLDER / folder).glob("*.yaml")):
            summary = file.read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()
            name = file.relative_to(FOLDER).with_suffix("").as_posix()
            found.append(BuiltinExperiment(name, group, summary, file))
    return found


def is_experiment(word: str) -> bool:
    """Return whether a word of a command line can only be an experiment: a YAML file, or a name of the package's."""
    return word.endswith(ENDINGS) or _find_builtin(word) is not None


def find_experiment(reference: str) -> Path:
    """Return the file of an experiment that is given by path, or by name if it comes with the package.

    A file at that path wins over a name. Raises ValueError with what was searched for and the nearest name.
    """
    path = Path(reference)
    if path.is_file():
        return path
    if (builtin := _find_builtin(reference)) is not None:
        return builtin
    near = get_close_matches(_without_ending(reference), [each.name for each in list_builtin_experiments()], 1, 0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ValueError(
        f"{reference}: there is no such file ({path.absolute()}), and no built-in experiment "
        f"{_without_ending(reference)!r}; {hint}`quintet list` names the built-in ones"
    )


def _find_builtin(reference: str) -> Path | None:
    file = FOLDER / f"{_without_ending(reference)}.yaml"
    is_inside = not Path(reference).is_absolute() and ".." not in Path(reference).parts
    return file if is_inside and file.is_file() else None


def _without_ending(reference: str) -> str:
    for ending in ENDINGS:
        reference = reference.removesuffix(ending)
    return reference
