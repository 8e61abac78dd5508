"""Without bubblewrap: limits and separate processes hold, and cheats in memory earn nothing."""

import psutil
import pytest
from grading.conftest import LIMITS, notebook
from grading.test_isolation import BEFORE, HOSTILE, SHORT
from grading.variants.tversky import DEFINITION

from course_losses.grading.slot import Slot

STILL_HARMLESS = [
    "exit by os._exit",
    "exit by os._exit in forward",
    "endless loop in forward",
    "endless sleep, signals ignored",
    "stops itself",
    "daemon left behind",
    "subprocess left behind",
    "threads left behind",
    "memory",
    "a full disk",
    "write on every open file",
    "forged replies from a thread",
    "full marks written as the reply",
    "patched torch",
    "patched pytest",
    "equal to everything",
    "imports the reference",
    "walks the stack to the reference",
    "IPython hooks",
]


@pytest.mark.parametrize("name", STILL_HARMLESS)
def test_still_harmless(bare: Slot, name: str) -> None:
    bare.limits = SHORT
    outcome = bare.grade(notebook(BEFORE, HOSTILE[name]))
    assert outcome.score == 0
    assert not [error for error in outcome.errors if "LEAK" in error["text"]]
    bare.limits = LIMITS
    good = bare.grade(notebook(DEFINITION))
    assert (good.status, good.score, good.detail) == ("graded", 10.0, "")
    process = bare.sandbox._process
    assert process is not None
    assert psutil.Process(process.pid).children(recursive=True) == []
