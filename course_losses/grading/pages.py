"""Pages to read in a browser: one of feedback for each submission, one overview of the class."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .gradebook import Gradebook, Row
from .judge import FIRST, PASSED
from .records import write
from .report import TEMPLATES
from .similar import Similar
from .slot import GRADED
from .text import slug


@dataclass
class Overview:
    """One exercise of the class: who got what, how scores spread, what went wrong most."""

    exercise: str
    max_score: float
    lines: list[tuple[str, str, float, str, str]] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    tenths: Counter[int] = field(default_factory=Counter)
    missed: dict[str, Counter[str]] = field(default_factory=dict)
    similar: Similar = field(default_factory=Similar)

    def add(self, place: str, row: Row) -> None:
        outcome = row.outcome
        self.lines.append((place, row.student, outcome.score, outcome.status, row.detail))
        self.statuses[outcome.status] += 1
        self.tenths[min(int(10 * outcome.score / (self.max_score or 1)), 9)] += 1
        self.similar.add(row.student, outcome.shape)
        if outcome.status == GRADED:
            for verdict in outcome.verdicts:
                found = self.missed.setdefault(verdict["title"], Counter())
                if verdict["outcome"] != PASSED:
                    found[verdict["diagnosis"].partition(FIRST)[0]] += 1

    @property
    def mean(self) -> float:
        return sum(line[2] for line in self.lines) / len(self.lines)

    @property
    def spread(self) -> list[tuple[str, int]]:
        """How many scores fall into each tenth of the points."""
        step = self.max_score / 10
        return [(f"{step * n:.4g} – {step * (n + 1):.4g}", self.tenths[n]) for n in range(10)]


def pages(book: Gradebook, out: Path) -> None:
    """``feedback/STUDENT/EXERCISE.html``, which names no other student, and ``index.html``."""
    feedback = TEMPLATES.get_template("feedback.html")
    parts: dict[str, Overview] = {}
    for row in book:
        place = f"feedback/{slug(row.folder)}/{row.exercise}.html"
        write(out / place, feedback.render(row=row, outcome=row.outcome))
        part = parts.setdefault(row.exercise, Overview(row.exercise, row.outcome.max_score))
        part.add(place, row)
    exercises = [parts[name] for name in sorted(parts)]
    overview = TEMPLATES.get_template("overview.html").render(book=book, parts=exercises)
    write(out / "index.html", overview)
