"""What the chapters show: losses with their gradients, a slider, and a class's own source."""

import ast
import hashlib
import inspect
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from html import escape
from itertools import pairwise
from typing import Any

from matplotlib.ticker import MaxNLocator

__all__ = ["Source", "Stepper", "loss_curves", "loss_stepper"]

Curves = Mapping[str, Sequence[float]]

WIDTH, HEIGHT = 3000, 1900  # of a plot, in tenths of the units that frame and text use
STYLE = """
.stepper{margin:1.5em 0;font:15px/1.45 system-ui,sans-serif;color:inherit;max-width:46em}
.stepper .panels{display:grid;gap:.5em 1em;
grid-template-columns:repeat(auto-fit,minmax(min(100%,17em),1fr))}
.stepper svg{width:100%;height:auto;overflow:visible}
.stepper svg svg{overflow:hidden}
.stepper text{font:12px system-ui,sans-serif;fill:currentColor}
.stepper text.of{font-weight:600;font-size:13px}
.stepper path{fill:none;stroke-width:24;stroke-linejoin:round}
.stepper path.grid{stroke:currentColor;stroke-width:1;opacity:.15}
.stepper path.zero{opacity:.45}
.stepper [data-step]{opacity:.16}
.stepper [data-step].on{opacity:1;stroke-width:30}
.stepper .c0{stroke:var(--stepper-0,#0072b2)}
.stepper .c1{stroke:var(--stepper-1,#d55e00);stroke-dasharray:80 45}
.stepper .c2{stroke:var(--stepper-2,#009e73);stroke-dasharray:25 40}
.stepper .c3{stroke:var(--stepper-3,#b5579a);stroke-dasharray:90 35 25 35}
.stepper .control{display:flex;flex-wrap:wrap;align-items:center;gap:.3em 1em;margin:.6em 0}
.stepper input{flex:1 1 12em;max-width:24em;min-height:1.6em;accent-color:#0072b2;cursor:pointer}
.stepper label{min-width:7em;font-variant-numeric:tabular-nums}
.stepper label [data-step]:not(.on){display:none}
.stepper .key{display:inline-flex;align-items:center;gap:.4em}
.stepper .key svg{width:2.4em;overflow:visible}
.stepper figcaption{margin:.3em 0 0}
@media print{.stepper{break-inside:avoid}.stepper input{display:none}}
"""
MOVE = (
    "let f=this.closest('figure'),s=this.value;"
    "f.querySelectorAll('[data-step]').forEach(e=>e.classList.toggle('on',e.dataset.step==s));"
    "this.setAttribute('aria-valuetext',f.querySelector('label .on').dataset.said)"
)


class Stepper:
    """A figure with a slider: one curve per value of a hyperparameter, panel beside panel.

    With a single value it is a figure without a slider.

    It is HTML with one line of script, so it works in Jupyter, in the book and from disk, without
    a kernel. All values are drawn; the one that the slider names stands out. A curve that is the
    same for every value is drawn once.

    Args:
        name: what the slider changes, as a reader writes it: ``"δ"``.
        x: the common horizontal positions.
        steps: for each value of the hyperparameter, panel title → curve's label → heights.
        xlabel: what ``x`` is.
        caption: one or two sentences: what to look for. Also what a screen reader calls the figure.
        start: the value shown first; the middle one unless given.
        ylim: for a panel's title, its lower and upper end; else the changing curves fill it.

    Raises:
        ValueError: no steps, steps that differ in panels or labels, more than four curves in a
            panel, curves of another length than ``x``, or a ``start`` that is not among the values.

    >>> Stepper("w", [0, 1], {1.0: {"loss": {"w x": [0, 1]}}, 2.0: {"loss": {"w x": [0, 2]}}},
    ...         xlabel="x", caption="A steeper line.")
    Stepper(w = 1, 2; loss)
    """

    def __init__(
        self,
        name: str,
        x: Sequence[float],
        steps: Mapping[float, Mapping[str, Curves]],
        *,
        xlabel: str,
        caption: str,
        start: float | None = None,
        ylim: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        self.name = name
        self.x = [float(value) for value in x]
        self.steps = {
            float(value): {
                panel: {label: [float(y) for y in heights] for label, heights in curves.items()}
                for panel, curves in panels.items()
            }
            for value, panels in steps.items()
        }
        self.xlabel = xlabel
        self.caption = caption
        self.ylim = dict(ylim or {})
        self._check()
        self.values = list(self.steps)
        self.first = len(self.values) // 2 if start is None else self._index(start)

    def _check(self) -> None:
        if not self.steps or len(self.x) < 2:
            raise ValueError("a Stepper needs at least one step and two positions x")
        shape = {panel: list(curves) for panel, curves in next(iter(self.steps.values())).items()}
        for value, panels in self.steps.items():
            if {panel: list(curves) for panel, curves in panels.items()} != shape:
                raise ValueError(f"step {value:g} has other panels or labels than the first step")
            for panel, curves in panels.items():
                if len(curves) > 4:
                    raise ValueError(
                        f"panel {panel!r} has {len(curves)} curves, at most 4 are told apart"
                    )
                for label, heights in curves.items():
                    if len(heights) != len(self.x):
                        raise ValueError(
                            f"curve {label!r} has {len(heights)} values for {len(self.x)} positions"
                        )
        if unknown := set(self.ylim) - set(shape):
            raise ValueError(f"ylim names no panel: {', '.join(sorted(unknown))}")

    def _index(self, start: float) -> int:
        if start not in self.values:
            raise ValueError(f"start must be one of {self.values}, got {start!r}")
        return self.values.index(start)

    def __repr__(self) -> str:
        values = ", ".join(f"{value:g}" for value in self.values)
        slider = f"{self.name} = {values}; " if len(self.values) > 1 else ""
        return f"Stepper({slider}{', '.join(self._panels)})"

    @property
    def _panels(self) -> dict[str, list[str]]:
        return {panel: list(curves) for panel, curves in self.steps[self.values[0]].items()}

    def _changes(self, panel: str, label: str) -> bool:
        return len({tuple(step[panel][label]) for step in self.steps.values()}) > 1

    def _limits(self, panel: str) -> tuple[float, float]:
        if panel in self.ylim:
            return self.ylim[panel]
        labels = self._panels[panel]
        moving = [label for label in labels if self._changes(panel, label)] or labels
        seen = [
            y
            for step in self.steps.values()
            for label in moving
            for y in step[panel][label]
            if math.isfinite(y)
        ]
        low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
        margin = 0.06 * (high - low) or 1.0
        return low - margin, high + margin

    def _repr_html_(self) -> str:
        panels = "".join(self._panel_svg(panel) for panel in self._panels)
        body = f'<div class="panels">{panels}</div>{self._control()}'
        name = f"stepper-{hashlib.sha1(body.encode()).hexdigest()[:8]}"
        body = body.replace("STEPPER", name)
        return (
            f'<figure class="stepper" aria-labelledby="{name}-caption"><style>{STYLE}</style>{body}'
            f'<figcaption id="{name}-caption">{escape(self.caption)}</figcaption></figure>'
        )

    def _panel_svg(self, panel: str) -> str:
        low, high = self._limits(panel)
        left, right = self.x[0], self.x[-1]
        frame = []
        for tick in _ticks(left, right):
            at = 48 + _whole(WIDTH / 10 * (tick - left) / (right - left))
            frame.append(f'<path class="grid" d="M{at} 22v{HEIGHT // 10}"/>')
            frame.append(f'<text x="{at}" y="228" text-anchor="middle">{_number(tick)}</text>')
        for tick in _ticks(low, high):
            at = 22 + _whole(HEIGHT / 10 * (high - tick) / (high - low))
            kind = "grid zero" if tick == 0 else "grid"
            frame.append(f'<path class="{kind}" d="M48 {at}h{WIDTH // 10}"/>')
            frame.append(f'<text x="42" y="{at + 4}" text-anchor="end">{_number(tick)}</text>')
        curves = []
        labels = self._panels[panel]
        for label in sorted(labels, key=lambda label: self._changes(panel, label)):
            changes, color = self._changes(panel, label), self._color(label)
            for index, step in enumerate(self.steps.values()):
                if not changes and index:
                    continue
                on = f' data-step="{index}"' if changes else ""
                kind = f"c{color} on" if changes and index == self.first else f"c{color}"
                path = self._path(step[panel][label], low, high)
                curves.append(f'<path class="{kind}"{on} d="{path}"/>')
        what = f"{panel} against {self.xlabel}: {', '.join(self._panels[panel])}"
        return (
            f'<svg viewBox="0 0 360 248" role="img" aria-label="{escape(what)}">{"".join(frame)}'
            f'<svg x="48" y="22" width="{WIDTH // 10}" height="{HEIGHT // 10}" '
            f'viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(curves)}</svg>'
            f'<text class="of" x="48" y="13">{escape(panel)}</text>'
            f'<text x="{48 + WIDTH // 20}" y="244" text-anchor="middle">'
            f"{escape(self.xlabel)}</text>"
            "</svg>"
        )

    def _path(self, heights: Sequence[float], low: float, high: float) -> str:
        """Whole numbers, each relative to the last: short, and the same on every machine."""
        left, right = self.x[0], self.x[-1]
        runs: list[list[tuple[int, int]]] = [[]]
        for x, y in zip(self.x, heights, strict=True):
            if not math.isfinite(y):
                runs.append([])
                continue
            down = HEIGHT * (high - y) / (high - low)
            across = WIDTH * (x - left) / (right - left)
            runs[-1].append((_whole(across), _whole(min(max(down, -HEIGHT), 2 * HEIGHT))))
        path = ""
        for run in filter(None, runs):
            points = _thinned(run)
            moves = [f"{bx - ax} {by - ay}" for (ax, ay), (bx, by) in pairwise(points)]
            path += f"M{points[0][0]} {points[0][1]}l{' '.join(moves)}"
        return path.replace(" -", "-")

    def _control(self) -> str:
        texts = [
            f'<span data-step="{index}" class="{"on" if index == self.first else ""}" '
            f'data-said="{self._spoken(value)}">{value:g}</span>'
            for index, value in enumerate(self.values)
        ]
        labels = dict.fromkeys(label for labels in self._panels.values() for label in labels)
        keys = [
            '<span class="key"><svg viewBox="0 0 400 40" aria-hidden="true"><path '
            f'class="c{self._color(label)}" d="M0 20h400"/></svg>{escape(label)}</span>'
            for label in labels
        ]
        slider = (
            '<div class="control">'
            f'<label for="STEPPER">{escape(self.name)} = {"".join(texts)}</label>'
            f'<input id="STEPPER" type="range" min="0" max="{len(self.values) - 1}" '
            f'value="{self.first}" aria-valuetext="{self._spoken(self.values[self.first])}" '
            f'oninput="{MOVE}"></div>'
        )
        key = f'<div class="control">{"".join(keys)}</div>'
        return slider + key if len(self.values) > 1 else key

    def _color(self, label: str) -> int:
        return next(labels.index(label) for labels in self._panels.values() if label in labels)

    def _spoken(self, value: float) -> str:
        ranges = []
        for panel, labels in self._panels.items():
            heights = [
                y
                for label in labels
                if self._changes(panel, label)
                for y in self.steps[value][panel][label]
                if math.isfinite(y)
            ]
            if heights:
                ranges.append(f"{panel} from {_number(min(heights))} to {_number(max(heights))}")
        return escape(f"{value:g}: {', '.join(ranges)}" if ranges else f"{value:g}")


def loss_stepper(
    name: str,
    values: Sequence[float],
    losses: Mapping[str, Callable[[Any, float], Any]],
    x: Any,
    *,
    xlabel: str,
    caption: str,
    start: float | None = None,
    ylim: Mapping[str, tuple[float, float]] | None = None,
) -> Stepper:
    """A :class:`Stepper` of losses and their gradients, the gradients by automatic differentiation.

    Args:
        name: what the slider changes: ``"δ"``.
        values: its positions, four to six.
        losses: label → a function of ``x`` and the value that gives one loss per element.
        x: a tensor of positions, 121 are plenty.
        xlabel: what ``x`` is.
        caption: one or two sentences: what to look for.
        start: the value shown first; the middle one unless given.
        ylim: limits of the panels "loss" and "gradient", where the default does not serve.

    >>> import torch
    >>> loss_stepper(
    ...     "δ", [0.5, 1, 2],
    ...     {"Huber": lambda error, delta: torch.nn.HuberLoss("none", delta)(error, 0 * error),
    ...      "½ error²": lambda error, delta: error**2 / 2},
    ...     torch.linspace(-3, 3, 121),
    ...     xlabel="error", caption="Beyond δ the gradient no longer grows.",
    ... )
    Stepper(δ = 0.5, 1, 2; loss, gradient)
    """
    steps: dict[float, dict[str, dict[str, list[float]]]] = {}
    for value in values:
        panels: dict[str, dict[str, list[float]]] = {"loss": {}, "gradient": {}}
        for label, loss in losses.items():
            heights, slopes = _with_gradient(loss, x, value)
            panels["loss"][label] = heights
            panels["gradient"][label] = slopes
        steps[value] = panels
    return Stepper(name, x.tolist(), steps, xlabel=xlabel, caption=caption, start=start, ylim=ylim)


def loss_curves(
    losses: Mapping[str, Callable[[Any], Any]],
    x: Any,
    *,
    xlabel: str,
    caption: str,
    ylim: Mapping[str, tuple[float, float]] | None = None,
) -> Stepper:
    """Losses and their gradients in a figure like :func:`loss_stepper`'s, without a slider.

    Args:
        losses: label → a function of ``x`` that gives one loss per element.
        x: a tensor of positions, 121 are plenty.
        xlabel: what ``x`` is.
        caption: one or two sentences: what to look for.
        ylim: limits of the panels "loss" and "gradient", where the default does not serve.

    >>> import torch
    >>> loss_curves({"error²": lambda error: error**2}, torch.linspace(-3, 3, 121),
    ...             xlabel="error", caption="The gradient grows without end.")
    Stepper(loss, gradient)
    """
    fixed = {label: lambda at, _, loss=loss: loss(at) for label, loss in losses.items()}
    return loss_stepper("", [0], fixed, x, xlabel=xlabel, caption=caption, ylim=ylim)


def _with_gradient(
    loss: Callable[..., Any], x: Any, *value: float
) -> tuple[list[float], list[float]]:
    """The loss at each position, and its derivative there.

    Rounding puts a 0 that ``linspace`` missed by its last bit back onto the kink that is at 0.
    """
    position = x.detach().round(decimals=9).requires_grad_()
    heights = loss(position, *value)
    heights.sum().backward()
    return heights.tolist(), position.grad.tolist()


class Source:
    """The code of a class or function as it is installed, without its docstring.

    As the last line of a cell it shows itself as highlighted code.

    >>> Source(textwrap.dedent)  # doctest: +ELLIPSIS
    def dedent(text):
    ...
    """

    def __init__(self, thing: type | Callable[..., Any]) -> None:
        self.code = _without_docstring(textwrap.dedent(inspect.getsource(thing)))

    def __repr__(self) -> str:
        return self.code

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.code}\n```"


def _without_docstring(code: str) -> str:
    lines = code.splitlines()
    definition = ast.parse(code).body[0]
    body = getattr(definition, "body", [])
    if body and ast.get_docstring(definition) is not None:  # type: ignore[arg-type]
        first, last = body[0].lineno - 1, body[0].end_lineno
        while last < len(lines) and not lines[last].strip():
            last += 1
        del lines[first:last]
    return "\n".join(lines).strip()


def _thinned(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Without the points that lie within two units, a fifth of a pixel, of the line drawn."""
    (ax, ay), (bx, by) = points[0], points[-1]
    off = [abs((y - ay) * (bx - ax) - (by - ay) * (x - ax)) for x, y in points]
    worst = max(range(len(points)), key=off.__getitem__)
    if off[worst] <= 2 * math.hypot(bx - ax, by - ay):
        return [points[0], points[-1]] if len(points) > 1 else points
    return _thinned(points[: worst + 1])[:-1] + _thinned(points[worst:])


def _ticks(low: float, high: float) -> list[float]:
    inside = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(low, high)
    room = 1e-9 * (high - low)
    return [float(tick) for tick in inside if low - room <= tick <= high + room]


def _number(value: float) -> str:
    return f"{round(value, 9) + 0:.3g}".replace("-", "−")


def _whole(value: float) -> int:
    """The nearest whole number; what lies half-way goes up whatever the last bit says."""
    return math.floor(value + 0.5 + 1e-6)
