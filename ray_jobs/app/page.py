"""The page, drawn by Gradio: a place to drop files, the options, and the answer."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from ray_jobs.app.answers import Answer, AppModel
from ray_jobs.app.markup import build_table, draw_figures, find_probabilities
from ray_jobs.prediction_arguments import read_words
from ray_jobs.settings.setting_kinds import members
from trainables.contract.predictor import PredictionOptions

TOP_CLASSES = 10
"""Classes that get a bar."""
_DEFAULT = "default"


def build_page(gradio: Any, model: AppModel, given: Mapping[str, str]) -> Any:
    """Build the page of a model, which begins with the given options, words of the command line.

    Raises ValueError for a wrong option.
    """
    predictor, saved = model.predictor_class, model.model
    given = {name: to_word(value) for name, value in predictor.page_options.items()} | dict(given)
    options = read_words(saved, given)

    def predict(*values: Any) -> list[Any]:
        dropped, *rest = values if predictor.suffixes else (None, *values)
        try:
            answer = model.answer([Path(file) for file in dropped or ()], read_words(saved, fields.read(rest)))
        except ValueError as error:
            answer = Answer(faults=[str(error)])
        probabilities = find_probabilities(answer.rows)
        return [
            gradio.Textbox("\n".join(answer.faults), visible=bool(answer.faults)),
            gradio.Label(probabilities, visible=bool(probabilities)),
            gradio.Dataframe(build_table(answer.rows), wrap=len(answer.rows) == 1, visible=bool(answer.rows)),
            gradio.HTML(draw_figures(answer), visible=bool(answer.files)),
        ]

    with gradio.Blocks(title=f"Quintet: {saved.workload.name}", analytics_enabled=False) as page:
        gradio.Markdown(_introduce(model))
        with gradio.Row():
            with gradio.Column(scale=1):
                drop = [gradio.File(label="Files", file_count="multiple")] if predictor.suffixes else []
                button = gradio.Button("Predict", variant="primary")
                fields = OptionFields(gradio, options, given)
            with gradio.Column(scale=2):
                outputs = [
                    gradio.Textbox(label="Not done", interactive=False, visible=False),
                    gradio.Label(label="Probabilities", num_top_classes=TOP_CLASSES, show_heading=False, visible=False),
                    gradio.Dataframe(label="Table", interactive=False, visible=False),
                    gradio.HTML(visible=False),
                ]
        events = [button.click, *(field.upload for field in drop)]
        gradio.on(events, predict, inputs=[*drop, *fields.components], outputs=outputs, api_name="predict")
    return page


def _introduce(model: AppModel) -> str:
    predictor, saved = model.predictor_class, model.model
    parts = [f"# {saved.workload.name}", inspect.getdoc(predictor) or "", f"Model `{saved.source}`, step {saved.step}."]
    if predictor.suffixes:
        parts.append(f"Files: {', '.join(predictor.suffixes)}. They stay on this machine.")
    return "\n\n".join(parts)


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
            choices = [*([(_DEFAULT, "")] if NoneType in members(field.annotation) else []), *get_args(kinds[0])]
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
    """Return the types of a field without None."""
    return [kind for kind in members(field.annotation) if kind is not NoneType]
