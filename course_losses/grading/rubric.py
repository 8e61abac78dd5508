"""What a rubric is made of: criteria that ask, cases to ask about, mistakes to recognise.

A criterion is a function that puts a question to a student and returns the answer. The solution is
asked the same, and so is each mistake (the solution, spoiled in one usual way): a wrong answer can
be told by its name.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn

from .student import Student


class RubricError(Exception):
    """The rubric or the solution is at fault, not the learner."""


class Case(SimpleNamespace):
    """The inputs of one question, by name."""


Draw = Callable[[torch.Generator], Case]
Question = Callable[[Student, Case], Any]


@dataclass(frozen=True)
class Criterion:
    """One line of the table that the learner sees."""

    name: str
    title: str
    points: float
    ask: Question
    cases: Draw
    count: int
    after: str | None
    tolerance: float


def criterion(
    title: str,
    *,
    points: float,
    cases: Draw,
    count: int = 3,
    after: str | None = None,
    tolerance: float = 1e-4,
) -> Callable[[Question], Callable[[Any], None]]:
    """Makes a question a pytest test worth ``points``.

    Args:
        title: what the learner reads, a claim: "The gradient reaches pred".
        points: all or nothing.
        cases: draws the inputs of one case.
        count: how many cases are drawn.
        after: name of the criterion that must hold before this one can earn anything.
        tolerance: relative, of each number, or of each tensor's norm.
    """

    def decorate(ask: Question) -> Callable[[Any], None]:
        line = Criterion(ask.__name__, title, points, ask, cases, count, after, tolerance)

        def test(judge: Any) -> None:
            judge.decide(line)

        test.__name__, test.__doc__ = ask.__name__, ask.__doc__
        test.criterion = line  # type: ignore[attr-defined]
        return test

    return decorate


@dataclass(frozen=True)
class Mistake:
    """A usual wrong answer: ``spoil(right, *args)`` stands in for calling ``target``."""

    name: str
    target: str
    diagnosis: str
    spoil: Callable[..., Any]

    def applied(self, names: dict[str, Any]) -> dict[str, Any]:
        """The solution's names with this mistake made."""
        right = names[self.target]
        spoiled: Any = functools.partial(self.spoil, right)
        if isinstance(right, type) and issubclass(right, nn.Module):
            spoiled = self._module(right)
        return {**names, self.target: spoiled}

    def _module(self, right: type[nn.Module]) -> type[nn.Module]:
        spoil = self.spoil

        class Spoiled(right):  # type: ignore[misc, valid-type]
            def forward(self, *args: Any, **kwargs: Any) -> Any:
                unspoiled: Any = copy.copy(self)
                unspoiled.__class__ = right
                return spoil(unspoiled, *args, **kwargs)

        Spoiled.__module__ = right.__module__
        return Spoiled


def mistake(target: str, diagnosis: str) -> Callable[[Callable[..., Any]], Mistake]:
    """Names a usual wrong answer.

    Args:
        target: the name in the notebook that the mistake spoils, a module class or a function.
        diagnosis: what the learner reads when the answers match: what was done, what is asked.

    The decorated function gets the right object (an instance, or the function), then the arguments
    of the call, and returns what a learner who makes this mistake would.
    """

    def decorate(spoil: Callable[..., Any]) -> Mistake:
        return Mistake(spoil.__name__, target, diagnosis, spoil)

    return decorate
