"""Pictures and tables of a run as parts of its page."""

import math
from collections.abc import Callable, Sequence

from ray_jobs.report.html import Markup, join, tag
from ray_jobs.report.page.page import card, folded, table
from ray_jobs.report.record.gallery import Gallery, Picture
from ray_jobs.report.record.table import Row, Table

SMALL_WIDTH = 200
"""Pictures that are narrower are shown twice as large, pixel by pixel."""
ReadPicture = Callable[[str], str | None]


def gallery_grid(galleries: Sequence[Gallery]) -> Markup | None:
    """Build the galleries of all keys: the newest picture of each large, the others in a strip."""
    return tag("div", [_gallery(each) for each in galleries], class_="galleries") if galleries else None


def _gallery(gallery: Gallery) -> Markup:
    if not gallery.pictures:
        words = f"{gallery.num_all} of which none is shown; all in {gallery.folder}"
        return tag("div", tag("h3", gallery.key), tag("p", words, class_="note"), class_="gallery card")
    newest, *others = gallery.pictures
    left_out = gallery.num_all - len(gallery.pictures)
    notes = [f"{len(gallery.pictures)} of {gallery.num_all} steps; all in {gallery.folder}"] if left_out else []
    notes += ["shown smaller than they are"] if any(picture.is_reduced for picture in gallery.pictures) else []
    return tag(
        "div",
        tag("h3", gallery.key),
        tag("div", _figure(newest, is_large=True), class_="newest"),
        _captions(newest),
        tag("div", [_figure(picture) for picture in reversed(others)], class_="strip") if others else None,
        tag("p", "; ".join(notes), class_="note") if notes else None,
        class_="gallery card",
    )


def _figure(picture: Picture, *, is_large: bool = False) -> Markup:
    is_small = 0 < picture.width < SMALL_WIDTH
    if picture.is_video:
        shown = tag("video", src=picture.uri, controls=True, loop=True, muted=True, playsinline=True)
    else:
        shown = tag(
            "img",
            src=picture.uri,
            alt=f"step {picture.step}",
            tabindex=0,
            width=picture.width * 2 if is_small and is_large else None,
            class_="pixels" if is_small else None,
        )
    words = [f"step {picture.step:,}", f"epoch {picture.epoch:,}"] if is_large else [f"step {picture.step:,}"]
    words += [picture.captions[0]] if len(picture.captions) == 1 else []
    return tag("figure", shown, tag("figcaption", " · ".join(words)))


def _captions(picture: Picture) -> Markup | None:
    """Build the captions, in the same rows and columns as the pictures of the grid."""
    if len(picture.captions) < 2 or not any(picture.captions):
        return None
    cells = [tag("span", caption) for caption in picture.captions]
    style = f"grid-template-columns: repeat({picture.columns}, auto)"
    return folded("captions, in the order of the pictures", tag("div", cells, class_="captions", style=style))


def table_cards(tables: Sequence[Table], read: ReadPicture) -> Markup | None:
    """Build a card for each table; `read` returns the picture of a cell."""
    return join(_table(each, read) for each in tables) or None


def _table(shown: Table, read: ReadPicture) -> Markup:
    earlier = None
    if shown.earlier:
        words = f"{len(shown.earlier)} rows of earlier steps"
        words += f" ({shown.num_left_out} more in {shown.folder}/table.csv)" if shown.num_left_out else ""
        earlier = folded(words, _grid(shown, shown.earlier, read))
    return card(tag("h3", shown.key), tag("div", _grid(shown, shown.rows, read), class_="tall"), earlier, is_long=True)


def _grid(shown: Table, rows: Sequence[Row], read: ReadPicture) -> Markup:
    columns = list(zip(*rows, strict=True)) or [() for _ in shown.columns]
    numbers = {place: [_to_number(cell) for cell in column] for place, column in enumerate(columns)}
    numeric = [place for place, column in numbers.items() if any(value is not None for value in column)]
    shares = {place for place in numeric if "%" in shown.columns[place] and _are_shares(numbers[place])}
    cells = [[_cell(cell, place in shares, read) for place, cell in enumerate(row)] for row in rows]
    return table(shown.columns, cells, numeric)


def _are_shares(values: Sequence[float | None]) -> bool:
    return all(value is None or 0 <= value <= 100 for value in values)


def _cell(cell: str, is_share: bool, read: ReadPicture) -> Markup | str:
    value = _to_number(cell)
    if value is None:
        uri = read(cell)
        return tag("img", src=uri, alt="") if uri else cell
    words = cell if value == round(value) and "." not in cell else f"{value:.4g}"
    words = f"{int(value):,}" if words.lstrip("-").isdigit() and len(words) > 4 else words
    return tag("td", words, class_="num bar", style=f"--v: {value:.1f}%") if is_share else words


def _to_number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
