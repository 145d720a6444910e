"""Names of the scores of generated images."""

from typing import Literal

from trainables.workloads.flow_matching.reference.real_features import Halves
from trainables.workloads.flow_matching.reference.scoring import Scores

Metric = Literal["fid", "is", "both", "all"]
_MORE = ("kid", "precision", "recall")


def name_scores(scores: Scores, extractor: str, metric: Metric) -> dict[str, float]:
    """Return scores by metric name.

    Args:
        scores: The scores.
        extractor: `inception` gets the published names, any other `local` in the name.
        metric: Which of the scores to return.
    """
    is_local = extractor != "inception"
    infix = "_local" if is_local else ""
    named: dict[str, float] = {}
    if metric != "is":
        named[_distance(extractor)] = scores.fid
    if metric != "fid":
        named[f"eval/inception_score{infix}_mean"] = scores.inception_score_mean
        named[f"eval/inception_score{infix}_std"] = scores.inception_score_std
    if metric == "all":
        named |= {f"eval/{name}{infix}": getattr(scores, name) for name in _MORE}
        named[f"eval/kid{infix}_std"] = scores.kid_std or 0.0
        if scores.fid_test is not None:
            named[f"{_distance(extractor)}_test"] = scores.fid_test
    return named


def name_halves(halves: Halves, extractor: str) -> dict[str, float]:
    """Return the scores between two halves of the real images, each named after the score it is compared with."""
    infix = "_local" if extractor != "inception" else ""
    named = {f"eval/{name}{infix}_halves": getattr(halves, name) for name in _MORE}
    return {f"{_distance(extractor)}_halves": halves.fid, **named}


def name_train_test(distance: float, extractor: str) -> dict[str, float]:
    """Return the distance between the training and the test images, as of a generator that repeats the former."""
    return {f"{_distance(extractor)}_train_test": distance}


def _distance(extractor: str) -> str:
    return "eval/fid_score" if extractor == "inception" else "eval/fid_local"
