"""Bug hunts: right repairs get full marks; wrong ones do not, and hear which fault is left."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import nbformat
import pytest
from grading.conftest import EXERCISES, LIMITS, SEED, notebook
from grading.variants.hunts import HUNTS, Variants

from course_losses.grading.exercise import Exercise
from course_losses.grading.sandbox import bubblewrap_fault
from course_losses.grading.slot import Outcome, Slot


class Hunt(NamedTuple):
    exercise: Exercise
    variants: Variants
    marks: Callable[[str], Outcome]
    points: float


@pytest.fixture(scope="module", params=HUNTS)
def hunt(request: pytest.FixtureRequest) -> Iterator[Hunt]:
    """A hunt with a slot, in the best isolation that there is here."""
    exercise = EXERCISES[request.param]
    slot = Slot(exercise, SEED, not bubblewrap_fault(), LIMITS)
    marks = {}

    def graded(source: str) -> Outcome:
        if source not in marks:
            marks[source] = slot.grade(notebook(source))
        return marks[source]

    yield Hunt(exercise, HUNTS[request.param], graded, slot.session.points)
    slot.close()


def test_there_are_variants_of_every_hunt() -> None:
    hunts = {name for name in EXERCISES if name.startswith("hunt_")}
    assert hunts - HUNTS.keys() == set(), "write tests/grading/variants/hunts/NAME.txt"
    assert HUNTS.keys() <= hunts
    for variants in HUNTS.values():
        assert len(set(variants.RIGHT.values())) >= 30
        assert len(set(variants.WRONG.values())) >= 60


def test_right_in_any_style(hunt: Hunt) -> None:
    full = ("graded", hunt.points, "")
    outcomes = {title: hunt.marks(source) for title, source in hunt.variants.RIGHT.items()}
    judged = {title: (o.status, o.score, o.detail) for title, o in outcomes.items()}
    assert {title: found for title, found in judged.items() if found != full} == {}


def test_wrong_costs_marks_and_is_told(hunt: Hunt) -> None:
    outcomes = {title: hunt.marks(source) for title, source in hunt.variants.WRONG.items()}
    judged = {title: (o.status, o.score, o.detail) for title, o in outcomes.items()}
    assert {title: found for title, found in judged.items() if found[0] != "graded"} == {}
    assert {title: found for title, found in judged.items() if found[1] >= hunt.points} == {}
    assert {title: found for title, found in judged.items() if not found[2]} == {}


def test_usual_repairs_are_named(hunt: Hunt) -> None:
    for source, told in hunt.variants.NAMED:
        diagnoses = [row["diagnosis"] for row in hunt.marks(source).verdicts]
        assert any(told in diagnosis for diagnosis in diagnoses), (told, diagnoses)


def test_the_untouched_code_earns_nothing_and_hears_why(hunt: Hunt) -> None:
    cells = nbformat.read(hunt.exercise.notebook, as_version=4).cells
    code = [
        c.source
        for c in cells
        if c.cell_type == "code" and "ungraded" not in c.metadata.get("tags", [])
    ]
    outcome = hunt.marks("\n".join(code))
    assert (outcome.status, outcome.score) == ("graded", 0)
    failed = [row["diagnosis"] for row in outcome.verdicts if row["outcome"] == "failed"]
    assert failed
    assert not [diagnosis for diagnosis in failed if "cases are wrong" in diagnosis]
