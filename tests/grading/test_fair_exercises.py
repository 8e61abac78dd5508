"""Right solutions of each exercise get full marks in any style; wrong ones do not, and are told."""

from collections.abc import Iterator
from types import ModuleType

import pytest
from grading.conftest import EXERCISES, LIMITS, SEED, notebook
from grading.variants import balancing, perceptual

from course_losses.grading.sandbox import bubblewrap_fault
from course_losses.grading.slot import Slot

VARIANTS: dict[str, ModuleType] = {"perceptual": perceptual, "balancing": balancing}


def test_there_are_variants_of_every_exercise() -> None:
    written = {name for name in EXERCISES if not name.startswith("hunt_")}
    elsewhere = {"tversky"}  # in test_fairness.py
    assert written - elsewhere - VARIANTS.keys() == set(), "write tests/grading/variants/NAME.py"


@pytest.fixture(scope="module")
def slots() -> Iterator[dict[str, Slot]]:
    """A slot for each exercise, in the best isolation that there is here."""
    wrapped = not bubblewrap_fault()
    opened = {name: Slot(EXERCISES[name], SEED, wrapped, LIMITS) for name in VARIANTS}
    yield opened
    for slot in opened.values():
        slot.close()


def sources(kind: str) -> list:
    return [
        pytest.param(name, source, id=f"{name}: {title}")
        for name, variants in VARIANTS.items()
        for title, source in getattr(variants, kind).items()
    ]


@pytest.mark.parametrize(("name", "source"), sources("RIGHT"))
def test_right_in_any_style(slots: dict[str, Slot], name: str, source: str) -> None:
    outcome = slots[name].grade(notebook(source))
    full = (outcome.status, outcome.score, outcome.detail)
    assert full == ("graded", slots[name].session.points, "")


@pytest.mark.parametrize(("name", "source"), sources("WRONG"))
def test_wrong_costs_marks(slots: dict[str, Slot], name: str, source: str) -> None:
    outcome = slots[name].grade(notebook(source))
    assert outcome.status == "graded"
    assert outcome.score < slots[name].session.points
    missed = [row for row in outcome.verdicts if row["outcome"] != "passed"]
    assert all(row["diagnosis"] for row in missed)


@pytest.mark.parametrize(
    ("name", "source", "diagnosis"),
    [(name, *named) for name, variants in VARIANTS.items() for named in variants.NAMED],
)
def test_usual_mistakes_are_named(
    slots: dict[str, Slot], name: str, source: str, diagnosis: str
) -> None:
    outcome = slots[name].grade(notebook(source))
    told = [row["diagnosis"] for row in outcome.verdicts] + [outcome.detail]
    assert any(diagnosis in text for text in told), outcome.detail


@pytest.mark.parametrize("name", VARIANTS)
def test_enough_variants_to_believe_it(name: str) -> None:
    assert len(VARIANTS[name].RIGHT) >= 30
    assert len(set(VARIANTS[name].RIGHT.values())) == len(VARIANTS[name].RIGHT)
    assert len(VARIANTS[name].WRONG) >= 60
