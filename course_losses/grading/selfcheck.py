"""``check("name")``: the rubric's criteria on the learner's names, in the learner's process."""

from __future__ import annotations

import sys
from typing import Any

import torch

from .answers import Stored, default_dtype
from .exercise import find
from .judge import UNTRIED, Verdict
from .report import Report
from .session import Session, UndefinedError
from .student import here


def check(name: str) -> None:
    """Shows which criteria of an exercise hold for the names in the caller's namespace.

    A self-check: it runs your code here, unprotected, on public cases. The instructor's run draws
    others.

    Args:
        name: the exercise, "tversky" say.
    """
    Report(name, self_check(name, sys._getframe(1).f_globals)).show()


def self_check(name: str, names: dict[str, Any]) -> list[Verdict]:
    """The verdicts on ``names``; the caller's random state and default dtype stay as they are."""
    exercise = find(name)
    session = Session([exercise.rubric])
    try:
        with torch.random.fork_rng(devices=[]), default_dtype():
            torch.manual_seed(0)
            return session.run(here(names), Stored(exercise.cases))
    except UndefinedError as error:
        return session.refused(UNTRIED, f"Not attempted yet: {error}.")
    finally:
        session.close()
