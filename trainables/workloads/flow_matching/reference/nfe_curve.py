"""Table and chart of the scores over the number of function evaluations."""

from collections.abc import Mapping

from trainables.contract.panels import ImagePanel, Panel, TablePanel
from trainables.pictures.line_charts import Curve, draw_chart

_COSTS = ("eval/nfe_ode", "eval/nfe_net")


def draw_curve(scores: Mapping[int, Mapping[str, float]], solver: str) -> list[Panel]:
    """Draw `eval/nfe_table` and `eval/nfe_chart`, whose line is the first of the scores; nothing for no numbers.

    Args:
        scores: By the number of evaluations of the right-hand side, the scores and costs by name.
        solver: Name of the solver.
    """
    if not scores:
        return []
    names = [name for name in next(iter(scores.values())) if name not in _COSTS]
    columns = ["Solver", "NFE", "Network calls", *(name.removeprefix("eval/") for name in names)]
    rows = [
        [solver, nfe, found["eval/nfe_net"], *(found[name] for name in names)] for nfe, found in sorted(scores.items())
    ]
    name = names[0]
    line = Curve(solver, [(nfe, found[name]) for nfe, found in sorted(scores.items())], has_markers=True)
    chart = draw_chart(f"{name} over the number of function evaluations", "NFE", name, [line])
    return [TablePanel("eval/nfe_table", columns, rows), ImagePanel("eval/nfe_chart", chart[None], columns=1)]
