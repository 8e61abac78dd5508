"""Slots that stay open for the whole session, and notebooks made of strings."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from course_losses.grading.exercise import exercises
from course_losses.grading.sandbox import Limits, bubblewrap_fault
from course_losses.grading.slot import Outcome, Slot

ROOT = Path(__file__).parents[2]
EXERCISES = exercises(ROOT)
SEED = 20_26
LIMITS = Limits(timeout=20.0, memory=512)
ENABLE = "notebooks in a bubblewrap sandbox (to enable: sudo apt install bubblewrap)"


def notebook(*sources: str) -> bytes:
    """A notebook with these code cells."""
    cells = [{"cell_type": "code", "metadata": {}, "source": source} for source in sources]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}).encode()


def _slot(wrapped: bool) -> Iterator[Slot]:
    slot = Slot(EXERCISES["tversky"], SEED, wrapped, LIMITS)
    yield slot
    slot.close()


@pytest.fixture(scope="session")
def sandboxed() -> Iterator[Slot]:
    """A Tversky slot in bubblewrap."""
    if bubblewrap_fault():
        pytest.skip(ENABLE)
    yield from _slot(wrapped=True)


@pytest.fixture(scope="session")
def slot() -> Iterator[Slot]:
    """A Tversky slot in the best isolation that there is here."""
    yield from _slot(wrapped=not bubblewrap_fault())


@pytest.fixture(scope="session")
def bare() -> Iterator[Slot]:
    """A Tversky slot without bubblewrap."""
    yield from _slot(wrapped=False)


@pytest.fixture(scope="session")
def marks(slot: Slot) -> Callable[..., Outcome]:
    """The outcome of a notebook with these cells."""
    return lambda *sources: slot.grade(notebook(*sources))


@pytest.fixture(scope="session")
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The installed command, run in the repository."""
    here = os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "TERM": "dumb"}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        extra = ["--allow-unsandboxed"] if bubblewrap_fault() and arguments[0] == "grade" else []
        line = [str(Path(sys.executable).parent / "course-losses"), *map(str, arguments), *extra]
        return subprocess.run(line, cwd=ROOT, env=here, capture_output=True, text=True, check=False)

    return run
