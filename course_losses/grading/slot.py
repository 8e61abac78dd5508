"""The unit of work: a notebook's bytes go in, its record comes out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from .answers import Answers, Drawn, Stored
from .exercise import Exercise
from .judge import FAILED, UNTRIED, Verdict
from .notebook import Cell, InvalidNotebookError, code_cells
from .rubric import RubricError
from .sandbox import EndedError, Limits, Sandbox, SandboxError
from .session import Session, UndefinedError
from .similar import shape
from .text import printable
from .windows import Interpreter

GRADED, ERROR, TIMEOUT, KILLED, INVALID = "graded", "error", "timeout", "killed", "invalid"
STATUSES = (GRADED, ERROR, TIMEOUT, KILLED, INVALID)


@dataclass
class Outcome:
    """What one notebook earned, and why. Only a graded one earns anything."""

    status: str
    score: float
    max_score: float
    detail: str
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    shape: list[str] = field(default_factory=list)


class Slot:
    """Grades the notebooks of one exercise, one after the other.

    Args:
        exercise: its rubric and solution are read here, on the trusted side.
        seed: draws the cases; without one the public cases are used.
        wrapped: run notebooks in bubblewrap.
        limits: what one notebook may use.
    """

    def __init__(self, exercise: Exercise, seed: int | None, wrapped: bool, limits: Limits) -> None:
        torch.set_num_threads(1)
        self.limits = limits
        self.session = Session(exercise.rubrics)
        self.answers: Answers
        if seed is None:
            self.answers = Stored(exercise.cases)
        else:
            self.answers = Drawn(seed, exercise.solution, self.session.mistakes)
        forks = hasattr(os, "fork")
        self.sandbox = Sandbox(self.session.modules, wrapped) if forks else Interpreter()
        self._exercise = exercise

    @cached_property
    def _given(self) -> set[str]:
        """The released cells that are for reading and trying, not for marks."""
        cells = code_cells(self._exercise.source.read_bytes())
        return {cell.source.strip() for cell in cells if "ungraded" in cell.tags}

    def grade(self, content: bytes) -> Outcome:
        """The outcome of one notebook, whatever it is and does."""
        try:
            cells = code_cells(content)
        except InvalidNotebookError as fault:
            return self.refuse(fault)
        for _ in range(2):
            try:
                return self._judged(cells)
            except SandboxError as error:
                self.sandbox.stop()
                trouble = str(error)
            except RubricError:
                raise
            except Exception as error:  # one notebook must not end the others' grading
                self.sandbox.stop()
                return self._without_marks(
                    KILLED, f"the grader could not judge it ({type(error).__name__})"
                )
        return self._without_marks(KILLED, f"twice the sandbox did not survive it ({trouble})")

    def refuse(self, fault: InvalidNotebookError) -> Outcome:
        return self._without_marks(INVALID, str(fault))

    def _judged(self, cells: Sequence[Cell]) -> Outcome:
        graded = [
            (number, cell.source)
            for number, cell in enumerate(cells, start=1)
            if cell.source.strip() not in self._given
        ]
        errors: list[dict[str, Any]] = []
        try:
            with self.sandbox.job(graded, self.limits) as job:
                errors = job.errors
                verdicts = self.session.run(job.student, self.answers)
        except UndefinedError as error:
            return self._without_marks(ERROR, "; ".join([str(error), *_told(errors)]), errors)
        except EndedError as ended:
            return self._without_marks(ended.status, str(ended), errors)
        score = sum(verdict.earned for verdict in verdicts)
        detail = "; ".join([*_told(errors), *_missed(verdicts)])
        rows = [verdict.as_dict() for verdict in verdicts]
        look = shape([source for _, source in graded])
        return Outcome(GRADED, score, self.session.points, detail, rows, errors, look)

    def _without_marks(self, status: str, detail: str, errors: Sequence[Any] = ()) -> Outcome:
        return Outcome(status, 0.0, self.session.points, detail, [], list(errors))

    def close(self) -> None:
        self.sandbox.stop()
        self.session.close()


def _told(errors: Sequence[dict[str, Any]]) -> list[str]:
    """The first cell that raised, in words."""
    if not errors:
        return []
    first = errors[0]
    text = f": {first['text']}" if first["text"] else ""
    more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
    return [printable(f"code cell {first['cell']} raised {first['type']}{text[:200]}{more}")]


def _missed(verdicts: Sequence[Verdict]) -> list[str]:
    """The diagnoses, each once."""
    if all(verdict.outcome == UNTRIED for verdict in verdicts):
        return ["not attempted"]
    return list(dict.fromkeys(v.diagnosis for v in verdicts if v.outcome == FAILED))[:3]
