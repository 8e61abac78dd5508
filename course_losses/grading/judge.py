"""One student, one criterion at a time: earned or not, and why."""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from .answers import Answers, Asked, difference, same
from .memory import TooMuchMemoryError
from .rubric import Criterion, Mistake
from .sandboxed.wire import WireError
from .student import Remote, Student, StudentError
from .text import printable

# What ends the student's process, and so the judging.
OVER = (TimeoutError, EOFError, ConnectionError, TooMuchMemoryError, WireError)
KNOWN = {name for name, kind in vars(builtins).items() if isinstance(kind, type)}
PLACE = re.compile(r"cell [0-9]{1,4}, line [0-9]{1,4}")
FIRST = "; the first gives"
# What torch says where it does not say what to do, and what is to be done.
NUMPY = "NumPy knows no gradients: stay with torch's functions, torch.log for np.log."
IN_PLACE = "A tensor that the gradient needs was changed in place: write x = x + 1, not x += 1."
CONSTRUCTOR = "The constructor must begin with super().__init__()."
HINTS = {
    "sum() got an unexpected keyword argument 'axis'": NUMPY,
    "mean() got an unexpected keyword argument 'axis'": NUMPY,
    "Can't call numpy() on Tensor that requires grad": NUMPY,
    "leaf Variable that requires grad is being used in an in-place": IN_PLACE,
    "modified by an inplace operation": IN_PLACE,
    "has no attribute '_backward_hooks'": CONSTRUCTOR,
    "has no attribute '_parameters'": CONSTRUCTOR,
    "before Module.__init__() call": CONSTRUCTOR,
}
PASSED, FAILED, UNTRIED, WAITING = "passed", "failed", "not attempted", "not judged yet"


@dataclass
class Verdict:
    """One row of the table."""

    name: str
    title: str
    outcome: str
    earned: float
    points: float
    diagnosis: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class Judge:
    """Decides every criterion for one student, in the order of the rubric."""

    def __init__(self, student: Student, answers: Answers, mistakes: Sequence[Mistake]) -> None:
        self.student, self.answers = student, answers
        self.mistakes = {mistake.name: mistake for mistake in mistakes}
        self.verdicts: dict[str, Verdict] = {}
        self.over: Exception | None = None

    def decide(self, criterion: Criterion) -> None:
        try:
            outcome, diagnosis = self._outcome(criterion)
        except OVER as error:
            self.over = error
            raise
        earned = criterion.points if outcome == PASSED else 0.0
        self.verdicts[criterion.name] = Verdict(
            criterion.name, criterion.title, outcome, earned, criterion.points, diagnosis
        )
        if outcome != PASSED:
            pytest.fail(diagnosis, pytrace=False)

    def _outcome(self, criterion: Criterion) -> tuple[str, str]:
        first = self.verdicts.get(criterion.after or "")
        if first and first.outcome != PASSED:
            outcome = UNTRIED if first.outcome == UNTRIED else WAITING
            return outcome, f"Judged once “{first.title}” holds."
        asked = self.answers.of(criterion)
        answers = []
        for question in asked:
            try:
                answer = criterion.ask(self.student, question.case)
            except StudentError as error:
                return self._raised(error)
            except AssertionError as error:
                return FAILED, str(error).split("\nassert ")[0]
            except OVER:
                raise
            except Exception as error:  # the solution's answer fits the question, this one does not
                return FAILED, f"What comes back has the wrong form ({type(error).__name__})."
            if _nothing(answer) and not _nothing(question.right):
                return UNTRIED, "Not attempted yet: nothing is returned."
            answers.append(answer)
        try:
            return self._compared(criterion, asked, answers)
        except Exception as error:  # a number beyond every dtype, say
            return FAILED, f"What comes back cannot be compared ({type(error).__name__})."

    def _compared(
        self, criterion: Criterion, asked: Sequence[Asked], answers: Sequence[Any]
    ) -> tuple[str, str]:
        tolerance = criterion.tolerance
        wrong = [
            (answer, question)
            for answer, question in zip(answers, asked, strict=True)
            if not same(answer, question.right, tolerance)
        ]
        if not wrong:
            return PASSED, ""
        for name, mistake in self.mistakes.items():
            if all(
                name in question.mistaken and same(answer, question.mistaken[name], tolerance)
                for answer, question in zip(answers, asked, strict=True)
            ):
                return FAILED, mistake.diagnosis
        answer, question = wrong[0]
        parted = difference(answer, question.right, tolerance, self.answers.public)
        return FAILED, f"{len(wrong)} of {len(asked)} cases are wrong{FIRST} {parted}."

    def _raised(self, error: StudentError) -> tuple[str, str]:
        if error.kind == "NotImplementedError":
            return UNTRIED, "Not attempted yet: NotImplementedError is raised."
        # Once hidden inputs are out, any text may carry them back: only known names are told.
        public = self.answers.public
        kind = error.kind if public or error.kind in KNOWN else "An exception of its own kind"
        where = f" in {error.place}" if PLACE.fullmatch(error.place) else ""
        text = next((h for said, h in HINTS.items() if said in error.text), "")
        text = text or (error.text if public else "")
        told = f": {text}" if text else "."
        return FAILED, printable(f"{kind} was raised{where}{told}")


def _nothing(answer: Any) -> bool:
    """Nothing came back, or a tuple whose first part, the value, is nothing."""
    if isinstance(answer, Remote):
        return answer.kind == "ellipsis"
    return answer is None or (isinstance(answer, tuple) and bool(answer) and answer[0] is None)
