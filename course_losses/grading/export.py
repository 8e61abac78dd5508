"""What leaves the grader: tables and pages, each a pure function of the records."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .judge import PASSED
from .records import Record, Records, write
from .report import TEMPLATES
from .slot import GRADED
from .submissions import Ignored, Submission

COLUMNS = ("student", "exercise", "score", "max_score", "status", "detail")


@dataclass
class Row:
    """One line of the gradebook."""

    student: str
    folder: str
    exercise: str
    record: Record
    note: str

    @property
    def detail(self) -> str:
        return "; ".join(part for part in (self.note, self.record.outcome.detail) if part)


def rows(submissions: Sequence[Submission], records: Records) -> Iterator[Row]:
    """The rows of a run, read one at a time, so that a large class takes little memory."""
    for submission in sorted(submissions, key=lambda s: (s.folder, s.exercise)):
        record = records.read(submission)
        if record is not None:
            yield Row(
                submission.student, submission.folder, submission.exercise, record, submission.note
            )


def cell(text: str) -> str:
    """Text that a spreadsheet takes for text: one line, no formula, nothing invisible."""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return f"'{shown}" if shown.lstrip()[:1] in ("=", "+", "-", "@") else shown


def grades_csv(table: Iterable[Row], out: Path) -> None:
    lines = [
        (
            cell(row.student),
            row.exercise,
            f"{row.record.outcome.score:.10g}",
            f"{row.record.outcome.max_score:.10g}",
            row.record.outcome.status,
            cell(row.detail),
        )
        for row in table
    ]
    write(out / "grades.csv", _csv(COLUMNS, lines))


def ignored_csv(ignored: Iterable[Ignored], out: Path) -> None:
    lines = [(cell(entry.path), cell(entry.reason)) for entry in ignored]
    write(out / "ignored.csv", _csv(("file", "reason"), lines))


def pages(table: Iterable[Row], out: Path) -> None:
    """A page of feedback for each submission, which names no other student, and an overview."""
    template = TEMPLATES.get_template("feedback.html")
    links: list[tuple[str, Row]] = []
    for row in table:
        place = f"feedback/{slug(row.folder)}/{row.exercise}.html"
        write(out / place, template.render(row=row, outcome=row.record.outcome))
        row.record.outcome.errors = []
        links.append((place, row))
    write(
        out / "index.html",
        TEMPLATES.get_template("overview.html").render(exercises=_overview(links)),
    )


@dataclass
class Overview:
    """One exercise of the class: who got what, how scores spread, what went wrong most."""

    exercise: str
    rows: list[tuple[str, Row]]

    @property
    def statuses(self) -> list[tuple[str, int]]:
        return Counter(row.record.outcome.status for _, row in self.rows).most_common()

    @property
    def mean(self) -> float:
        scores = [row.record.outcome.score for _, row in self.rows]
        return sum(scores) / len(scores)

    @property
    def max_score(self) -> float:
        return self.rows[0][1].record.outcome.max_score

    @property
    def spread(self) -> list[tuple[str, int]]:
        """How many scores fall into each tenth of the points."""
        top = self.max_score or 1.0
        tenths = Counter(min(int(10 * r.record.outcome.score / top), 9) for _, r in self.rows)
        edges = [f"{top * n / 10:.4g} – {top * (n + 1) / 10:.4g}" for n in range(10)]
        return [(edges[n], tenths[n]) for n in range(10)]

    @property
    def diagnoses(self) -> list[tuple[str, int, list[tuple[str, int]]]]:
        """Per criterion: how many missed it, and the commonest diagnoses. What to teach again."""
        graded = [r.record.outcome for _, r in self.rows if r.record.outcome.status == GRADED]
        titles = dict.fromkeys(v["title"] for outcome in graded for v in outcome.verdicts)
        found = []
        for title in titles:
            missed = [
                verdict["diagnosis"]
                for outcome in graded
                for verdict in outcome.verdicts
                if verdict["title"] == title and verdict["outcome"] != PASSED
            ]
            found.append((title, len(missed), Counter(missed).most_common(3)))
        return found


def _overview(links: Sequence[tuple[str, Row]]) -> list[Overview]:
    names = sorted({row.exercise for _, row in links})
    return [Overview(name, [link for link in links if link[1].exercise == name]) for name in names]


def slug(name: str) -> str:
    """A folder's name that every system takes, different for different students."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if plain == name and not name.startswith(".") and len(name) < 80:
        return name
    return f"{plain.strip('.')[:60]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


def _csv(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()
