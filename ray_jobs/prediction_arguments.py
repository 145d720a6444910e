"""Options of a model's workload on the command line of the verbs that apply a trained model."""

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ray_jobs.arguments import VerbParser

if TYPE_CHECKING:
    from trainables.contract.predictor import PredictionOptions, SavedModel

PREFIX = "option:"
"""Begins the names of the workload's options in argparse's namespace, apart from those of the verb."""


def add_options_of_model(
    parser: argparse.ArgumentParser, words: Sequence[str], add_arguments: Callable[[argparse.ArgumentParser], None]
) -> None:
    """Add the options of the model's workload, if a model is among the words behind the verb; it is then `opened`.

    `add_arguments` adds the verb's own arguments to a parser. Raises ValueError when what is named is no model, or its
    workload predicts nothing.
    """
    if not any(not word.startswith("-") for word in words):
        return
    from ray_jobs.runs.model_references import open_reference

    known = find_model(parser.prog.rpartition(" ")[2], words, add_arguments)
    model = open_reference(known.model, known.storage)
    parser.set_defaults(opened=model)
    group = parser.add_argument_group(f"options of {model.workload.name}")
    for name, field in _options_class(model).model_fields.items():
        default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else str(field.default)
        words = f" (by default {default.lower()})" if field.default is not None else ""
        text = f"{field.description or ''}{words}".replace("%", "%%")
        added = group.add_argument(
            f"--{name.replace('_', '-')}",
            dest=f"{PREFIX}{name}",
            metavar="VALUE",
            default=argparse.SUPPRESS,
            help=" ".join(text.split()),
        )
        if field.annotation is bool:
            added.nargs, added.const = "?", "true"


def find_model(
    verb: str, words: Sequence[str], add_arguments: Callable[[argparse.ArgumentParser], None]
) -> argparse.Namespace:
    """Read MODEL and the verb's own arguments, whatever the options of the workload are.

    The arguments are as for `add_options_of_model`. Raises ValueError when MODEL is missing.
    """
    finder = VerbParser(prog=f"quintet {verb}", add_help=False, allow_abbrev=False)
    add_arguments(finder)
    finder.add_argument("--help", "-h", "--json", action="store_true")
    return finder.parse_known_args(words)[0]


def given_words(options: argparse.Namespace) -> dict[str, str]:
    """Return the words that were given for the workload's options, by the option's name."""
    return {name.removeprefix(PREFIX): word for name, word in vars(options).items() if name.startswith(PREFIX)}


def read_words(model: "SavedModel", words: Mapping[str, str]) -> "PredictionOptions":
    """Read the workload's options from words, as settings are read; those of a list may be joined by commas.

    Raises ValueError naming the option, and what is allowed.
    """
    from ray_jobs.settings.experiment_file import read_value
    from ray_jobs.settings.setting_kinds import kinds_in, takes_texts
    from trainables.inference.loading import read_options

    options_class = _options_class(model)
    values: dict[str, Any] = {}
    for name, text in words.items():
        kinds = kinds_in(options_class.model_fields[name].annotation)
        is_bare_list = bool(kinds & {tuple, list}) and not text.startswith("[")
        if is_bare_list and takes_texts(options_class, name, {}) and not re.search("['\"]", text):
            words_given = [word.strip() for word in text.split(",")]
            # letter by letter: 01 may be a name
            values[name] = [int(word) if re.fullmatch("0|[1-9][0-9]*", word) else word for word in words_given]
            continue
        values[name] = read_value(name, f"[{text}]" if is_bare_list else text, {}, options_class)
    return read_options(model, values)


def _options_class(model: "SavedModel") -> "type[PredictionOptions]":
    from trainables.workloads import predictor_class

    return predictor_class(model.workload.name).options_class
