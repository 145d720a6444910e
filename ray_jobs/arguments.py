"""The parser of a verb's words, and the arguments that several verbs share."""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from data_pipelines.contract.did_you_mean import suggest
from ray_jobs.settings.builtin_experiments import find_experiment

if TYPE_CHECKING:
    from pathlib import Path

    from ray_jobs.settings.experiment import Experiment

LoadExperiment = Callable[["Path", Sequence[str]], "Experiment"]


class VerbParser(argparse.ArgumentParser):
    """A parser that raises ValueError instead of ending the process, and suggests the nearest option."""

    def error(self, message: str) -> NoReturn:
        """Raise ValueError with argparse's message in the words of this command line."""
        verb = self.prog.rpartition(" ")[2]
        if message == "the following arguments are required: EXPERIMENT":
            raise ValueError(
                f"{verb} needs an experiment: quintet {verb} EXPERIMENT; `quintet list` names the built-in ones"
            )
        message = re.sub(r"^argument (\S+): expected one argument$", r"\1 needs a value", message)
        message = re.sub(r"^the following arguments are required: (.*)$", rf"{verb} needs \1", message)
        raise ValueError(re.sub(r"^argument (\S+): ", r"\1: ", message))

    def refuse(self, words: Sequence[str]) -> None:
        """Raise ValueError for words that are no argument of the verb."""
        if not words:
            return
        word = next((word for word in words if word.startswith("-")), words[0])
        names = {name.removeprefix("--") for name in self._option_string_actions if name.startswith("--")} - {"help"}
        raise ValueError(f"unknown argument {word!r}; {suggest(word.removeprefix('--').partition('=')[0], names)}")


def add_experiment(parser: argparse.ArgumentParser, *, is_optional: bool = False) -> None:
    """Add EXPERIMENT and --set."""
    parser.add_argument(
        "experiment",
        metavar="EXPERIMENT",
        nargs="?" if is_optional else None,
        help="a YAML file, or the name of a built-in experiment such as demo/pruning (`quintet list`)",
    )
    add_set(parser, "change one setting, for example training.epochs=5; can be given several times")


def add_set(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --set."""
    parser.add_argument("--set", metavar="SECTION.FIELD=VALUE", action="append", default=[], help=text)


def add_checkpoint(parser: argparse.ArgumentParser, text: str) -> None:
    """Add --checkpoint."""
    parser.add_argument("--checkpoint", metavar="MODEL", action="append", default=[], help=text)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add MODEL and --storage."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="the folder or URI of a run or of one of its models, a run's name, or wandb:team/project/name:alias",
    )
    parser.add_argument(
        "--storage", metavar="PATH_OR_URI", help="where a run's name is looked up, by default ~/quintet"
    )


def complete_folder(path: str) -> str:
    """Return a folder given by path or URI in full. Raises ValueError for what can be neither."""
    from pydantic import TypeAdapter, ValidationError

    from data_pipelines.contract.config import FolderUri

    try:
        return TypeAdapter(FolderUri).validate_python(path)
    except ValidationError as error:
        fault = error.errors()[0]
        shown = "" if fault["type"] == "secret" else f"{path}: "
        raise ValueError(f"{shown}{fault['msg']}") from None


def load_target(options: argparse.Namespace, load: LoadExperiment | None = None) -> "Experiment":
    """Load the experiment that a verb works on; by default with the models that it names replaced by paths.

    Raises ValueError for an experiment that is not there, and for wrong settings.
    """
    if load is None:
        from ray_jobs.runs.experiment_loader import load_experiment

        load = load_experiment
    return load(find_experiment(options.experiment), options.set)
