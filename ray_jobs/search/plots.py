"""Plots of a search: learning curves of all trials, their settings as parallel coordinates, two objectives."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ray_jobs.search.ranking import Entry, rank, varying_keys
from ray_jobs.search.schedulers import read_rows
from ray_jobs.search.sweep_plan import SweepPlan
from ray_jobs.search.trials import Trials

BEST_COLOUR, WORST_COLOUR, GRID = (20, 70, 170), (205, 210, 220), "#a0a0a0"
AXIS_WIDTH, HEIGHT, MARGIN = 170, 420, 90
"""Pixels between two axes of parallel coordinates, of the picture's height, and at its sides."""


def save_pictures(setup: SweepPlan, trials: Trials) -> list[str]:
    """Write the plots for each label, the best in the darkest blue; returns their names in the search's folder."""
    from trainables.pictures.picture_grid import encode_png  # brings torch

    names = []
    entries = rank(setup, trials)
    for label in dict.fromkeys(entry.label for entry in entries):
        members = [entry for entry in entries if entry.label == label and entry.means]
        if not members:
            continue
        suffix = "" if len(setup.labels) == 1 and label == setup.labels[0] else f" {label}".replace("/", "_")
        for name, picture in (
            (f"learning_curves{suffix}.png", draw_curves(setup, members)),
            (f"parallel_coordinates{suffix}.png", draw_coordinates(setup, members, varying_keys(trials))),
            (f"objectives{suffix}.png", draw_objectives(setup, members, varying_keys(trials))),
        ):
            if picture is not None:
                setup.folder.write(name, encode_png(picture))
                names.append(name)
    return names


Picture = np.ndarray
"""RGB, `uint8[height width 3]`."""


def draw_curves(setup: SweepPlan, entries: Sequence[Entry]) -> Picture | None:
    """Draw the first objective over epochs; None when nothing was measured twice."""
    from trainables.pictures.line_charts import Curve, draw_chart  # brings torch

    goal = setup.goals(entries[0].trials[0])[0]
    lines = []
    for colour, entry in zip(_shades(len(entries)), entries, strict=True):
        for trial in entry.trials:
            rows = read_rows(setup.run(trial))
            points = [(float(row["epoch"]), row[goal.metric]) for row in rows if goal.metric in row]
            if points:
                lines.append(Curve("", points, colour=colour))
    if not any(len(line.points) > 1 for line in lines):
        return None
    title = f"{setup.name}: {len(lines)} trials, the best darkest"
    return draw_chart(title, "epoch", goal.metric, lines[::-1]).permute(1, 2, 0).numpy()


def draw_coordinates(setup: SweepPlan, entries: Sequence[Entry], keys: Sequence[str]) -> Picture | None:
    """Draw an axis for each setting that varies and for each objective, and a line for each point.

    Returns None when no setting varies.
    """
    if not keys:
        return None
    from matplotlib.figure import Figure

    from trainables.pictures.line_charts import DPI, INK, pixels_of  # brings torch

    goals = setup.goals(entries[0].trials[0])
    axes = [_Axis(key, [entry.trials[0].values.get(key) for entry in entries]) for key in keys]
    axes += [_Axis(goal.metric, [entry.means[number] for entry in entries]) for number, goal in enumerate(goals)]
    width = 2 * MARGIN + AXIS_WIDTH * (len(axes) - 1)
    figure = Figure(figsize=(width / DPI, HEIGHT / DPI), dpi=DPI)
    frame = figure.add_axes((MARGIN / width, 0.08, 1 - 2 * MARGIN / width, 0.78))
    frame.set_axis_off()
    frame.set(xlim=(0, len(axes) - 1), ylim=(0, 1))
    for number, colour in reversed(list(enumerate(_shades(len(entries))))):
        frame.plot([axis.places[number] for axis in axes], color=colour, linewidth=1.5, clip_on=False)
    for column, axis in enumerate(axes):
        frame.axvline(column, color=GRID, linewidth=0.8, clip_on=False)
        title = axis.name.rpartition(".")[2]
        frame.text(column, 1.05 + 0.06 * ((column + 1) % 2), title, color=INK, fontsize=9, ha="center")
        for place, word in axis.ticks:
            words = frame.annotate(word, (column, place), (4, 0), textcoords="offset points", va="center", fontsize=9)
            words.set_bbox({"facecolor": "white", "alpha": 0.6, "pad": 0.5, "linewidth": 0})
    return pixels_of(figure)


def draw_objectives(setup: SweepPlan, entries: Sequence[Entry], keys: Sequence[str]) -> Picture | None:
    """Draw the first objective against the second, a line for each value of the settings that are words.

    Returns None for one objective.
    """
    from trainables.pictures.line_charts import Curve, draw_chart  # brings torch

    goals = setup.goals(entries[0].trials[0])
    if len(goals) < 2:
        return None
    lines: dict[str, list[tuple[float, float]]] = {}
    for entry in entries:
        values = entry.trials[0].values
        words = ", ".join(values[key] for key in keys if isinstance(values.get(key), str))
        lines.setdefault(words, []).append((entry.means[1], entry.means[0]))
    curves = [Curve(words, sorted(points), has_markers=True) for words, points in sorted(lines.items())]
    title = f"{setup.name}: {len(entries)} points"
    return draw_chart(title, goals[1].metric, goals[0].metric, curves).permute(1, 2, 0).numpy()


def _shades(count: int) -> list[str]:
    """Return so many colours, from the best to the worst."""
    shares = np.linspace(0.0, 1.0, max(count, 2))[:count]
    best, worst = np.array(BEST_COLOUR), np.array(WORST_COLOUR)
    mixed = [best + (worst - best) * share for share in shares]
    return [f"#{int(red):02x}{int(green):02x}{int(blue):02x}" for red, green, blue in mixed]


class _Axis:
    """Axis of parallel coordinates.

    Numbers are placed between their least and greatest, by their logarithm when they are positive and span more than a
    factor of 30; other values are placed as words, sorted and evenly spaced.
    """

    def __init__(self, name: str, values: Sequence[Any]):
        self.name = name
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            self._spread_numbers(np.array(values, dtype=float))
        else:
            self._spread_words([str(value) for value in values])

    def _spread_numbers(self, values: np.ndarray) -> None:
        scaled = np.log(values) if values.min() > 0 and values.max() > 30 * values.min() else values
        low, high = scaled.min(), scaled.max()
        self.places = list((scaled - low) / (high - low)) if high > low else [0.5] * len(values)
        ends = {0.0: values.min(), 1.0: values.max()} if high > low else {0.5: values.min()}
        self.ticks = [(place, f"{value:.4g}") for place, value in ends.items()]

    def _spread_words(self, words: Sequence[str]) -> None:
        known = sorted(set(words))
        where = {word: number / max(len(known) - 1, 1) for number, word in enumerate(known)}
        self.places = [where[word] for word in words]
        self.ticks = [(place, word[:22]) for word, place in where.items()]
