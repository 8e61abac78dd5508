"""The gradebook of a run: its records, scores set by hand, and who handed in nothing."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from .records import Records
from .roster import Roster, is_student
from .slot import INVALID, Outcome
from .submissions import Submission
from .text import harmless

OVERRIDES = ("student", "exercise", "score", "comment")


class OverridesError(ValueError):
    """A line of ``overrides.csv`` cannot be used; the message says which and why."""


@dataclass
class Override:
    """A score set by hand, and the reason."""

    score: float
    comment: str


@dataclass
class Row:
    """One line of the gradebook."""

    folder: str
    exercise: str
    outcome: Outcome
    notes: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    """Other folders that hold this exercise of the same student of the roster."""

    @property
    def student(self) -> str:
        return harmless(self.folder)

    @property
    def detail(self) -> str:
        also = [f"also handed in as {harmless(folder)!r}" for folder in self.also]
        return "; ".join(part for part in (*self.notes, *also, self.outcome.detail) if part)


@dataclass
class Gradebook:
    """Everything that the exports say, read afresh from the records each time it is gone through.

    Args:
        submissions: what was handed in.
        records: their outcomes.
        points: the points of each exercise that the run graded.
        overrides: scores set by hand, by student and exercise.
        roster: the class; who is on it and handed in nothing gets a row.
        source: the seed of the cases and the sandbox in force, for the reports.
    """

    submissions: Sequence[Submission]
    records: Records
    points: dict[str, float]
    overrides: dict[tuple[str, str], Override]
    roster: Roster | None = None
    source: str = ""

    def __iter__(self) -> Iterator[Row]:
        for submission in sorted(self.submissions, key=lambda s: (s.folder, s.exercise)):
            record = self.records.read(submission)
            if record is not None:
                notes = [submission.note] if submission.note else []
                also = self._same_student(submission)
                yield self._final(
                    Row(submission.folder, submission.exercise, record.outcome, notes, also)
                )
        for name, exercise in self._missing():
            nothing = Outcome(INVALID, 0.0, self.points[exercise], "nothing was handed in")
            yield self._final(Row(name, exercise, nothing))

    def _final(self, row: Row) -> Row:
        override = self.overrides.get((row.student, row.exercise))
        if override is not None:
            told = f"set by hand to {override.score:g}, from {row.outcome.score:g}"
            row.notes.append(f"{told}: {override.comment}" if override.comment else told)
            row.outcome.score = override.score
        return row

    def remarks(self) -> Iterator[str]:
        """What the instructor has to look at: lines and folders that fit nobody, or two."""
        rows = list(self)
        known = {(row.student, row.exercise) for row in rows}
        for student, exercise in self.overrides:
            if exercise in self.points and (student, exercise) not in known:
                yield f"overrides.csv: no folder {student!r} has {exercise}; that line is not used"
        if self.roster:
            known_to = self.roster.find
            unknown = sorted({s.folder for s in self.submissions if known_to(s.folder) is None})
            if unknown:
                shown = ", ".join(repr(harmless(folder)) for folder in unknown[:10])
                more = f" and {len(unknown) - 10} more" if len(unknown) > 10 else ""
                yield (
                    "nobody on the roster has this name, so the score is in grades.csv and not in "
                    f"the roster's sheet: {shown}{more}"
                )
        for row in rows:
            if row.also and row.folder < min(row.also):  # told once for them all
                folders = ", ".join(
                    sorted(repr(harmless(name)) for name in [row.folder, *row.also])
                )
                yield (
                    f"{row.exercise}: one student of the roster has the folders {folders}; "
                    "the sheet is not filled in there: keep one of them"
                )

    def _same_student(self, submission: Submission) -> list[str]:
        student = self.roster.find(submission.folder) if self.roster else None
        if student is None:
            return []
        folders = self._handed_in[id(student), submission.exercise]
        return [folder for folder in folders if folder != submission.folder]

    @cached_property
    def _handed_in(self) -> dict[tuple[int, str], list[str]]:
        """The folders, by line of the roster and exercise."""
        found: dict[tuple[int, str], list[str]] = {}
        for submission in self.submissions:
            key = (id(self.roster and self.roster.find(submission.folder)), submission.exercise)
            found.setdefault(key, []).append(submission.folder)
        return found

    def _missing(self) -> Iterator[tuple[str, str]]:
        if self.roster is None:
            return
        for line in filter(is_student, self.roster.lines):
            for exercise in self.points:
                if (id(line), exercise) not in self._handed_in:
                    yield self.roster.keys(line)[0], exercise


def read_overrides(path: Path, exercises: Sequence[str]) -> dict[tuple[str, str], Override]:
    """The scores set by hand; the file is made, empty, when there is none.

    Raises:
        OverridesError: a line names no exercise, or its score is no number.
    """
    if not path.is_file():
        path.write_text(",".join(OVERRIDES) + "\n", encoding="utf-8")
    found: dict[tuple[str, str], Override] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for number, line in enumerate(csv.DictReader(file), start=2):
            found.update([_override(f"{path}, line {number}", line, exercises)])
    return found


def _override(
    place: str, line: dict[str, str | None], exercises: Sequence[str]
) -> tuple[tuple[str, str], Override]:
    student, exercise, score, comment = (line.get(name) or "" for name in OVERRIDES)
    if exercise not in exercises:
        raise OverridesError(f"{place}: no exercise is called {exercise!r}")
    try:
        value = float(score)
    except ValueError:
        raise OverridesError(f"{place}: the score {score!r} is no number") from None
    if not math.isfinite(value) or value < 0:
        raise OverridesError(f"{place}: the score {score!r} is no number of points")
    return (student, exercise), Override(value, comment)
