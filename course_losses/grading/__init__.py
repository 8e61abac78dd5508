"""Exercises that grade themselves: ``check`` for learners, the rubric's vocabulary for instructors."""

from .rubric import Case, criterion, mistake
from .selfcheck import check
from .student import (
    Gradient,
    Student,
    arguments_after,
    beside,
    gradient,
    parameters,
    set_parameters,
    value_of,
)

__all__ = [
    "Case",
    "Gradient",
    "Student",
    "arguments_after",
    "beside",
    "check",
    "criterion",
    "gradient",
    "mistake",
    "parameters",
    "set_parameters",
    "value_of",
]
