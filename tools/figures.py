"""The numbers of a figure, read off its axes when a notebook shows it, for the table below it.

`tools.notebooks` loads this as an extension of the kernels that it starts. There each matplotlib
figure and each Stepper leaves its panels as JSON in the metadata of its output, which Jupyter does
not show and nbval does not compare. A panel is a title, the names of its axes, and series: a name
and columns x, y, low and high, as far as there are any. A picture, a field of contours or a drawing
of boxes and arrows has no series.

A series is named by its label; else by what has its colour: a labelled curve, an entry of a legend,
a text beside it. If one series of a panel is still without a name, it is what the axis says. Thin
grey lines without a name guide the eye and are no data.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.category import StrCategoryLocator as Categories
from matplotlib.collections import FillBetweenPolyCollection, PathCollection
from matplotlib.colors import to_hex, to_rgb
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Polygon
from matplotlib.ticker import FixedLocator
from matplotlib.transforms import Transform

from course_losses.viz import Stepper

KEY = "figure"
DIGITS = 4
MOST_POINTS = 450  # of a series; of a longer one every second, third … point
OF_A_GUIDE = 5  # points at most
Panel = dict[str, Any]
Names = dict[Any, set[str]]  # by look


@dataclass
class Series:
    """What one call drew. `sideways`: the values run along x, as in barh."""

    artist: Artist
    name: str
    x: list[Any]
    y: list[Any]
    low: list[Any] = field(default_factory=list)
    high: list[Any] = field(default_factory=list)
    sideways: bool = False

    @property
    def color(self) -> str:
        return color_of(self.artist)

    def record(self) -> Panel:
        every = math.ceil(max(len(self.x), len(self.y)) / MOST_POINTS)
        columns = {"x": self.x, "y": self.y, "low": self.low, "high": self.high}
        thinned = {
            key: [rounded(value) for value in column[::every]]
            for key, column in columns.items()
            if column
        }
        return {"name": self.name, **thinned} | ({"every": every} if every > 1 else {})


def figure_panels(figure: Figure) -> list[Panel]:
    """A record for each axes with data, in the order in which they were made."""
    panels = [axes for axes in figure.axes if not hasattr(axes, "_colorbar")]
    drawn = {axes: with_bands(list(series_of(axes))) for axes in panels}
    name_by_color(figure, drawn)
    records = []
    for number, (axes, series) in enumerate(drawn.items(), 1):
        series = [one for one in series if one.name or not is_guide(one)]
        if not series:
            continue
        name_places(axes, series)
        across, up = axis_name(axes, "x"), axis_name(axes, "y")
        if any(one.sideways for one in series):
            across, up = up, across
            for one in series:
                one.x, one.y = one.y, one.x
        title = title_of(axes)
        name_what_the_axis_names(series, up or title)
        series = joined(series)
        number_namesakes(series)
        if not title:
            title = plain(figure.get_suptitle()) if len(panels) == 1 else f"panel {number}"
        records.append(
            {"title": title, "x": across, "y": up, "series": [one.record() for one in series]}
        )
    return records


def stepper_panels(stepper: Stepper) -> list[Panel]:
    """A record for each panel; a curve that no value changes is there once, as it is drawn."""
    panels = []
    for title, labels in stepper._panels.items():
        series = []
        for label in labels:
            moves = stepper._changes(title, label)
            for value in stepper.values if moves else stepper.values[:1]:
                name = f"{label}, {stepper.name} = {value:g}" if moves else label
                heights = [rounded(height) for height in stepper.steps[value][title][label]]
                series.append({"name": name, "y": heights})
        x = [rounded(value) for value in stepper.x]
        panels.append({"title": title, "x": stepper.xlabel, "y": title, "at": x, "series": series})
    return panels


def series_of(axes: Axes) -> Iterator[Series]:
    """What holds numbers among the artists, in data coordinates; caps and bars only once."""
    spoken_for: set[Artist] = set()
    for container in axes.containers:
        if isinstance(container, ErrorbarContainer):
            line, caps, bars = container.lines
            spoken_for.update((line, *caps, *bars))
            yield error_bars_of(container)
        elif isinstance(container, BarContainer):
            if container.errorbar is not None:
                raise ValueError("bars with error bars: draw these with a call of their own")
            yield bars_of(container)
    for artist in axes.get_children():
        if artist in spoken_for:
            continue
        if isinstance(artist, Line2D):
            yield from line_of(axes, artist)
        elif isinstance(artist, PathCollection):
            x, y = np.ma.filled(artist.get_offsets(), np.nan).T.tolist()
            yield Series(artist, own_name(artist), x, y)
        elif isinstance(artist, FillBetweenPolyCollection):
            yield band_of(artist)
        elif isinstance(artist, Polygon) and is_histogram(artist):
            x, y = artist.get_xy().T
            yield Series(
                artist, own_name(artist), ((x[1:-1:2] + x[2::2]) / 2).tolist(), y[1:-1:2].tolist()
            )


def line_of(axes: Axes, artist: Line2D) -> Iterator[Series]:
    x, y = (np.ma.filled(np.ma.asarray(data, float), np.nan).tolist() for data in artist.get_data())
    where: Transform = artist.get_transform()
    if where == axes.get_yaxis_transform("grid"):  # axhline
        yield Series(artist, own_name(artist), [], y[:1])
    elif where == axes.get_xaxis_transform("grid"):  # axvline
        yield Series(artist, own_name(artist), x[:1], [])
    elif where == axes.transData:
        seen = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
        if seen:
            yield Series(artist, own_name(artist), *map(list, zip(*seen, strict=True)))


def error_bars_of(container: ErrorbarContainer) -> Series:
    if container.has_xerr and container.has_yerr:
        raise ValueError("error bars along both axes: draw each with a call of its own")
    line, _, (bars,) = container.lines
    ends = np.array(bars.get_segments())  # (points, both ends, x and y)
    sideways = container.has_xerr
    low, high = ends[:, :, 0 if sideways else 1].T.tolist()
    x, y = (ends.mean(1).T if line is None else np.array(line.get_data(), float)).tolist()
    return Series(line or bars, own_name(container), x, y, low, high, sideways)


def bars_of(container: BarContainer) -> Series:
    sideways = container.orientation == "horizontal"
    corners = [patch.get_bbox() for patch in container.patches]
    across = [(box.x0 + box.x1) / 2 for box in corners]
    up = [(box.y0 + box.y1) / 2 for box in corners]
    values = [float(value) for value in container.datavalues]
    x, y = (values, up) if sideways else (across, values)
    first = container.patches[0]
    return Series(first, own_name(container) or own_name(first), x, y, sideways=sideways)


def band_of(artist: FillBetweenPolyCollection) -> Series:
    """Vertices go once around: a corner, one side, a corner, the other side back."""
    at, low, high = [], [], []
    down = 0 if artist.t_direction == "x" else 1
    for path in artist.get_paths():
        corners = path.vertices[:-1]
        half = len(corners) // 2
        one, other = corners[1:half], corners[half + 1 :][::-1]
        at += one[:, down].tolist()
        low += np.minimum(one, other)[:, 1 - down].tolist()
        high += np.maximum(one, other)[:, 1 - down].tolist()
    x, y = (at, []) if down == 0 else ([], at)
    return Series(artist, own_name(artist), x, y, low, high, sideways=down == 1)


def is_histogram(artist: Polygon) -> bool:
    """The outline of `hist(histtype="step")`: up and across by turns, from and to the floor."""
    corners = artist.get_xy()
    upright = np.diff(corners[:, 0])[::2] == 0
    level = np.diff(corners[:, 1])[1::2] == 0
    return not artist.get_fill() and len(corners) > 5 and bool(upright.all() and level.all())


def with_bands(series: list[Series]) -> list[Series]:
    """A band lies around the curve of its colour and its places: one series, not two."""
    kept = []
    for one in series:
        lines = [
            other
            for other in series
            if isinstance(one.artist, FillBetweenPolyCollection)
            and isinstance(other.artist, Line2D)
            and (other.color, len(other.x), bool(other.low)) == (one.color, len(one.x), False)
            and np.allclose(other.x, one.x)
        ]
        if lines:
            lines[0].low, lines[0].high = one.low, one.high
            lines[0].name = lines[0].name or one.name
        else:
            kept.append(one)
    return kept


def name_by_color(figure: Figure, drawn: dict[Axes, list[Series]]) -> None:
    """Gives a name to what has none, from what has its colour in this panel.

    From other panels too where they speak for this one: the legend is the figure's, or each of
    several colours is known.
    """
    everywhere = [named(one for series in drawn.values() for one in series)]
    everywhere += [entries(legend) for legend in figure.findobj(Legend)]
    for axes, series in drawn.items():
        for one in series:
            if not one.name:
                one.name = found(one, [named(series), entries(axes.get_legend()), texts(axes)])
        nameless = [one for one in series if not one.name]
        if not axes.figure.legends:
            nameless = [one for one in nameless if not is_guide(one)]
        elsewhere = [found(one, everywhere) for one in nameless]
        several = all(elsewhere) and len({one.color for one in nameless}) > 1
        if axes.figure.legends or several:
            for one, name in zip(nameless, elsewhere, strict=True):
                one.name = name


def found(one: Series, places: list[Names]) -> str:
    seen = (names[look(one.artist)] for names in places)
    return next((min(names) for names in seen if len(names) == 1), "")


def texts(axes: Axes) -> Names:
    names: Names = defaultdict(set)
    for text in axes.texts:
        names[look(text)].add(plain(text.get_text()))
    return names


def entries(legend: Legend | None) -> Names:
    names: Names = defaultdict(set)
    if legend is not None:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            names[look(handle)].add(plain(text.get_text()))
    return names


def named(series: Iterable[Series]) -> Names:
    names: Names = defaultdict(set)
    for one in series:
        if one.name:
            names[look(one.artist)].add(one.name)
    return names


def name_what_the_axis_names(series: list[Series], axis: str) -> None:
    nameless = [one for one in series if not one.name]
    if len({one.color for one in nameless}) == 1:
        for one in nameless:
            one.name = axis


def name_places(axes: Axes, series: list[Series]) -> None:
    """Where an axis has words or other numbers at its ticks, these are the places."""
    for key in ("x", "y"):
        axis = getattr(axes, f"{key}axis")
        ticks = list(axis.get_ticklocs())
        if len(ticks) < 2 or not isinstance(axis.get_major_locator(), (FixedLocator, Categories)):
            continue
        labels = [plain(text) for text in axis.get_major_formatter().format_ticks(ticks)]
        if all(says(label, tick) for label, tick in zip(labels, ticks, strict=True)):
            continue
        gap = min(abs(a - b) for a, b in pairwise(ticks))
        for one in series:
            values = getattr(one, key)
            nearest = [min(range(len(ticks)), key=lambda i: abs(ticks[i] - v)) for v in values]
            if all(abs(ticks[i] - v) < gap / 2 for i, v in zip(nearest, values, strict=True)):
                setattr(one, key, [labels[i] for i in nearest])


def says(label: str, tick: float) -> bool:
    """Nothing, or the tick's own number, rounded as it may be."""
    try:
        return not label or math.isclose(float(label.replace("−", "-")), tick, rel_tol=0.1)
    except ValueError:
        return False


def joined(series: list[Series]) -> list[Series]:
    """Points drawn one by one are one series."""
    kept: dict[Any, Series] = {}
    for one in series:
        alone = len(one.x) == len(one.y) == 1 and not one.low
        key = (one.name, one.color) if alone else id(one)
        if key in kept:
            kept[key].x += one.x
            kept[key].y += one.y
        else:
            kept[key] = one
    return list(kept.values())


def number_namesakes(series: list[Series]) -> None:
    seen: dict[str, int] = defaultdict(int)
    for one in series:
        seen[one.name] += 1
        if one.name and seen[one.name] > 1:
            one.name += f" ({seen[one.name]})"


def is_guide(one: Series) -> bool:
    few = max(len(one.x), len(one.y)) <= OF_A_GUIDE
    straight = not (one.x and one.y)
    return isinstance(one.artist, Line2D) and (straight or (is_grey(one.color) and few))


def look(artist: Artist) -> Any:
    """What tells series apart: their colour; but points, lines and areas may all be grey."""
    color = color_of(artist)
    return (color, type(artist)) if is_grey(color) else color


def is_grey(color: str) -> bool:
    levels = to_rgb(color)
    return max(levels) - min(levels) < 0.02


def axis_name(axes: Axes, key: str) -> str:
    """Its own label, that of an axis it shares, or that of the whole figure."""
    shared = getattr(axes, f"get_shared_{key}_axes")().get_siblings(axes)
    labels = [getattr(one, f"get_{key}label")() for one in (axes, *shared)]
    return plain(next(filter(None, labels), "") or getattr(axes.figure, f"get_sup{key}label")())


def title_of(axes: Axes) -> str:
    titles = [axes.get_title(side) for side in ("left", "center", "right")]
    return plain(next(filter(None, titles), ""))


def own_name(artist: Any) -> str:
    label = str(artist.get_label())
    return "" if label.startswith("_") else plain(label)


def color_of(artist: Artist) -> str:
    if isinstance(artist, Patch):
        color = artist.get_facecolor() if artist.get_fill() else artist.get_edgecolor()
    elif hasattr(artist, "get_facecolor"):
        if artist.get_array() is not None:
            artist.update_scalarmappable()
        colors = [*artist.get_facecolor(), *artist.get_edgecolor()]
        color = colors[0] if colors else "black"
    else:
        color = artist.get_color()  # type: ignore[attr-defined]
    return to_hex(color)


def plain(text: str) -> str:
    return " ".join(str(text).split())


def rounded(value: Any) -> Any:
    """Four significant digits; whole numbers and words stay, what is not finite is left blank."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return None
    return int(value) if value == int(value) and abs(value) < 1e9 else float(f"{value:.{DIGITS}g}")


def load_ipython_extension(shell: Any) -> None:
    def left_by(panels: Any) -> Any:
        return lambda shown: (
            {},
            {KEY: json.dumps(panels(shown), ensure_ascii=False, separators=(",", ":"))},
        )

    bundles = shell.display_formatter.mimebundle_formatter
    bundles.for_type(Figure, left_by(figure_panels))
    bundles.for_type(Stepper, left_by(stepper_panels))
