"""The page, drawn by Gradio: a place to drop files, the options, and the answer."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray_jobs.app.answers import Answer, AppModel
from ray_jobs.app.fields import OptionFields, to_word
from ray_jobs.app.markup import build_table, draw_figures, find_probabilities
from ray_jobs.prediction_arguments import read_words

TOP_CLASSES = 10
"""Classes that get a bar."""


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
