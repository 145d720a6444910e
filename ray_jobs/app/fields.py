"""Fields of the page for the options of a workload, with their descriptions and the values that it begins with."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ray_jobs.prediction_arguments import members
from trainables.contract.predictor import PredictionOptions

_DEFAULT = "default"


class OptionFields:
    """A component for each option; what is written in them counts as words of the command line.

    A field that is left as it was is no word, as if its option were not given; an emptied one means the default.
    """

    def __init__(self, gradio: Any, options: PredictionOptions, given: Mapping[str, str]) -> None:
        """Build the components on the page that is being built; it begins with options read from `given` words."""
        self._given = given
        self._fields = type(options).model_fields
        self._begun = options.model_dump(mode="json")
        self.components = [self._build(gradio, name, field) for name, field in self._fields.items()]

    def read(self, values: Sequence[Any]) -> dict[str, str]:
        """Return the words for the values of the components."""
        words = dict(self._given)
        for (name, field), value in zip(self._fields.items(), values, strict=True):
            word = to_word(value)
            if _is_path(field):
                words |= {name: word} if word else {}
            elif not word:
                words.pop(name, None)
            elif word != to_word(self._begun[name]):
                words[name] = word
        return words

    def _build(self, gradio: Any, name: str, field: FieldInfo) -> Any:
        value, kinds = self._begun[name], _kinds_of(field)
        texts = {"label": name.replace("_", " "), "info": " ".join((field.description or "").split())}
        if kinds == [bool]:
            return gradio.Checkbox(value, **texts)
        if get_origin(kinds[0]) is Literal:
            is_optional = len(members(field.annotation)) > 1
            choices = [*([(_DEFAULT, "")] if is_optional else []), *get_args(kinds[0])]
            return gradio.Dropdown(choices, value=to_word(value), **texts)
        if _is_path(field):
            gradio.Markdown(f"{texts['label']}: {texts['info']}")
            return gradio.File(label=texts["label"], height=140)
        return gradio.Textbox(to_word(value), placeholder=_DEFAULT, **texts)


def to_word(value: Any) -> str:
    """Return a value as a word of the command line; none is the empty one."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _is_path(field: FieldInfo) -> bool:
    return _kinds_of(field) == [Path]


def _kinds_of(field: FieldInfo) -> list[Any]:
    """Return the types of a field without None and without annotations."""
    kinds = [kind for kind in members(field.annotation) if kind is not type(None)]
    return [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]
