"""The processes of one notebook together: several that are small each cannot fill the machine."""

import time

import pytest
from grading.conftest import LIMITS, notebook
from grading.variants.tversky import DEFINITION

from course_losses.grading import memory
from course_losses.grading.sandbox import Limits
from course_losses.grading.slot import Slot

TOLD = "its processes together held more than 512 MB of memory"
CHILDREN = """import mmap, os, time
for _ in range({count}):
    if os.fork() == 0:
        held = {what}
        time.sleep(10**6)
"""
OWN = "bytearray(b'x') * (64 << 20)"
SHARED = "(m := mmap.mmap(-1, 64 << 20)).write(b'x' * (64 << 20))"
FORWARD = "    def forward(self, pred, target):\n"


@pytest.fixture(params=["slot", "bare"])
def either(request: pytest.FixtureRequest) -> Slot:
    """A slot in bubblewrap where it runs, and one without."""
    found: Slot = request.getfixturevalue(request.param)
    found.limits = LIMITS
    return found


@pytest.mark.parametrize("what", [OWN, SHARED])
def test_the_sum_is_limited(either: Slot, what: str) -> None:
    hog = CHILDREN.format(count=20, what=what)
    outcome = either.grade(notebook(DEFINITION, hog, "time.sleep(10)"))
    assert (outcome.status, outcome.score, outcome.detail) == ("killed", 0.0, TOLD)
    assert either.grade(notebook(DEFINITION)).score == 10.0


def test_while_criteria_are_judged(either: Slot) -> None:
    lines = CHILDREN.format(count=20, what=OWN) + "time.sleep(10)\n"
    inside = "".join(f"        {line}\n" for line in lines.splitlines())
    outcome = either.grade(notebook(DEFINITION.replace(FORWARD, FORWARD + inside)))
    assert (outcome.status, outcome.score, outcome.detail) == ("killed", 0.0, TOLD)


def test_what_processes_share_counts_once(either: Slot) -> None:
    """Ten children that only look at 200 MB of their parent's hold 200 MB, not two thousand."""
    shared = "x = bytearray(b'x') * (200 << 20)\n" + CHILDREN.format(count=10, what="x")
    outcome = either.grade(notebook(DEFINITION, shared, "time.sleep(1)"))
    assert (outcome.status, outcome.score, outcome.detail) == ("graded", 10.0, "")


def test_one_process_is_left_to_its_own_limit(either: Slot) -> None:
    either.limits = Limits(timeout=20, memory=64)
    outcome = either.grade(
        notebook(DEFINITION, "import time\nx = b'x' * (90 << 20)\ntime.sleep(1)")
    )
    assert (outcome.status, outcome.score, outcome.detail) == ("graded", 10.0, "")


def test_looking_costs_little(slot: Slot) -> None:
    """Ten looks a second are a thousandth of a processor or so."""
    assert slot.grade(notebook(DEFINITION)).score == 10.0
    watch = slot.sandbox._watch
    start = time.process_time()
    for _ in range(100):
        watch._next = 0.0
        watch.look(512 << 20)
    assert time.process_time() - start < 100 * 0.005


def test_a_process_that_is_gone_holds_nothing() -> None:
    assert memory.held([2**22 + 1]) == 0
    assert memory.below(2**22 + 1) == [2**22 + 1]
