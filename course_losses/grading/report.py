"""The table of criteria: HTML in a notebook, rich in a terminal, the same words in both."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from IPython import get_ipython
from IPython.display import display
from jinja2 import Environment, PackageLoader
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .judge import FAILED, PASSED, UNTRIED, WAITING, Verdict
from .text import printable

MARKS = {PASSED: "✓", FAILED: "✗", UNTRIED: "–", WAITING: "–"}
STRICT = ("strict", "surrogateescape")  # how a stream treats what it cannot encode
STYLES = {PASSED: "green", FAILED: "red", UNTRIED: "dim", WAITING: "dim"}
TEMPLATES = Environment(
    loader=PackageLoader(__package__),
    autoescape=True,
    finalize=lambda value: printable(value) if isinstance(value, str) else value,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.globals["marks"] = MARKS


def number(points: float) -> str:
    """Points as people write them: 3, 2.5."""
    return f"{points:.4g}"


TEMPLATES.filters["number"] = number


def forgive_encodings() -> None:
    """Where output is no UTF-8, a ✓ becomes a question mark and ends nothing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in STRICT:
            stream.reconfigure(errors="replace")


@dataclass
class Report:
    """The verdicts on one exercise, to be looked at."""

    exercise: str
    verdicts: Sequence[Verdict]

    @property
    def earned(self) -> float:
        return sum(verdict.earned for verdict in self.verdicts)

    @property
    def points(self) -> float:
        return sum(verdict.points for verdict in self.verdicts)

    @property
    def headline(self) -> str:
        return f"{self.exercise}: {number(self.earned)} of {number(self.points)} points"

    def html(self) -> str:
        return TEMPLATES.get_template("check.html").render(report=self)

    def text(self) -> str:
        lines = [
            f"{MARKS[v.outcome]} {v.title} ({number(v.earned)}/{number(v.points)})"
            + (f"\n  {v.diagnosis}" if v.diagnosis else "")
            for v in self.verdicts
        ]
        return "\n".join([self.headline, *lines])

    def table(self) -> Table:
        table = Table(title=self.headline, title_justify="left", title_style="bold")
        table.add_column("")
        table.add_column("criterion", ratio=3)
        table.add_column("points", justify="right")
        table.add_column("diagnosis", ratio=4)
        for v in self.verdicts:
            points = f"{number(v.earned)}/{number(v.points)}"
            mark = Text(MARKS[v.outcome], STYLES[v.outcome])
            table.add_row(mark, Text(v.title), points, Text(v.diagnosis))
        return table

    def show(self) -> None:
        shell = get_ipython()
        if hasattr(shell, "kernel"):
            display({"text/html": self.html(), "text/plain": self.text()}, raw=True)  # type: ignore[no-untyped-call]
        else:
            forgive_encodings()
            Console().print(
                self.table(), "A self-check on public cases; the graded run draws others."
            )
