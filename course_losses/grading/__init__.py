"""Exercises that grade themselves: ``check`` for learners, a rubric's words for instructors."""

from .rubric import Case, criterion, mistake
from .selfcheck import check
from .student import (
    Gradient,
    Student,
    beside,
    changed_by,
    fixture,
    gradient,
    numbers,
    parameters,
    set_parameters,
    value_of,
)

__all__ = [
    "Case",
    "Gradient",
    "Student",
    "beside",
    "changed_by",
    "check",
    "criterion",
    "fixture",
    "gradient",
    "mistake",
    "numbers",
    "parameters",
    "set_parameters",
    "value_of",
]
