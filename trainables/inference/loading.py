"""`load_model`: a trained model in one call, for use from Python; starts no Ray."""

import json
from typing import Any

import torch
from pydantic import ValidationError

from data_pipelines.storage.folder import Folder
from trainables.contract.predictor import PredictionOptions, Predictor, SavedModel
from trainables.inference.model_files import load_state, load_task, open_model
from trainables.workloads import predictor_class


def load_model(source: str, *, device: str | torch.device | None = None, **options: Any) -> Predictor[Any]:
    """Load a trained model, ready to predict.

    Args:
        source: Path or URI of a run's folder, whose best model is meant, or of one model version or checkpoint.
        device: Where it computes; by default the first GPU, else the CPU.
        options: Settings of the prediction, those of `quintet predict` with `_` for `-`.

    Returns:
        The predictor of the model's workload; its `predict` takes arrays, tensors, pictures or paths.

    Raises:
        ValueError: There is no undamaged model, or an option is wrong.
    """
    model = open_model(Folder(str(source)))
    where = choose_device() if device is None else torch.device(device)
    task = load_task(model, load_state(model), where)
    return predictor_class(model.workload.name)(task, model, read_options(model, options), where)


def choose_device() -> torch.device:
    """Return the first GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def read_options(model: SavedModel, given: dict[str, Any]) -> PredictionOptions:
    """Check settings of a prediction. Raises ValueError naming the option, and what is allowed."""
    options_class = predictor_class(model.workload.name).options_class
    unknown = sorted(given.keys() - options_class.model_fields.keys())
    if unknown:
        known = ", ".join(options_class.model_fields) or "there are none"
        raise ValueError(f"{unknown[0]!r} is no option of {model.workload.name}; options: {known}")
    try:
        return options_class.model_validate_json(json.dumps(given, default=str), strict=True)
    except ValidationError as error:
        lines = [f"option {'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()]
        raise ValueError("; ".join(lines)) from error
