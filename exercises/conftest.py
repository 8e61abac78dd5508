"""Under plain pytest a rubric judges the worked solution, which must earn every point."""

import pytest

from course_losses.grading.answers import Drawn, default_dtype
from course_losses.grading.exercise import Exercise
from course_losses.grading.judge import Judge
from course_losses.grading.notebook import solution_names
from course_losses.grading.rubric import Mistake
from course_losses.grading.student import here


@pytest.fixture(scope="module")
def judge(request: pytest.FixtureRequest) -> Judge:
    exercise = Exercise(request.path.parent)
    mistakes = [value for value in vars(request.module).values() if isinstance(value, Mistake)]
    with default_dtype():
        names = solution_names(exercise.solution)
    return Judge(here(names), Drawn(1, exercise.solution, mistakes), mistakes)
