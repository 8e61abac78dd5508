"""Grading on a Dask cluster: bytes are sent, outcomes come back, a lost worker's share is redone.

Install the extra ``[cluster]`` here and on the workers, which need the package and nothing else of
the repository: rubric and solution travel with each notebook.
"""

from __future__ import annotations

import atexit
import json
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from distributed import Client, KilledWorker

from .exercise import Exercise
from .notebook import InvalidNotebookError, code_cells
from .run import Engine, Setup, close_slots, grade_content
from .sandbox import Limits, bubblewrap_fault
from .slot import Outcome


class ClusterError(Exception):
    """The cluster cannot be reached; the message says which and why."""


@dataclass(frozen=True)
class Kit:
    """An exercise as bytes, for a machine that has no copy of the repository."""

    name: str
    rubric: bytes
    private: bytes | None
    solution: bytes
    seed: int
    wrapped: bool
    limits: Limits


class Cluster:
    """A Dask scheduler and its workers.

    Args:
        address: of the scheduler, "tcp://host:8786" say.
    """

    def __init__(self, address: str) -> None:
        try:
            self.client = Client(address, timeout="10s", set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, ValueError, TimeoutError) as error:
            raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from None

    @property
    def threads(self) -> int:
        """How many notebooks can run at a time."""
        return sum(self.client.nthreads().values())  # type: ignore[no-untyped-call]

    def fault(self) -> str:
        """Why bubblewrap cannot be used on one of the workers; empty when it can on all."""
        faults = self.client.run(bubblewrap_fault)
        return next((f"{worker}: {fault}" for worker, fault in faults.items() if fault), "")

    @property
    def engine(self) -> Engine:
        return Engine(self._executor, grade_kit, kit, (KilledWorker,))

    @contextmanager
    def _executor(self, _: int) -> Iterator[Executor]:
        with self.client.get_executor(pure=False) as executor:  # type: ignore[no-untyped-call]
            yield executor

    def close(self) -> None:
        self.client.close()  # type: ignore[no-untyped-call]


@cache
def kit(setup: Setup) -> Kit:
    """Everything that a worker needs, small: notebooks go without their outputs."""
    own, *private = setup.exercise.rubrics
    cells = [
        {"cell_type": "code", "source": cell.source, "metadata": {"tags": cell.tags}}
        for cell in code_cells(setup.exercise.solution.read_bytes())
    ]
    return Kit(
        setup.exercise.name,
        own.read_bytes(),
        private[0].read_bytes() if private else None,
        json.dumps({"cells": cells}).encode(),
        setup.seed,
        setup.wrapped,
        setup.limits,
    )


def grade_kit(kit: Kit, content: bytes | InvalidNotebookError) -> Outcome:
    """Grades one notebook on a worker."""
    return grade_content(_unpacked(kit), content)


@cache
def _unpacked(kit: Kit) -> Setup:
    atexit.register(close_slots)
    room = tempfile.TemporaryDirectory(prefix=f"course-losses-{os.getpid()}-kit-")
    atexit.register(room.cleanup)
    root = Path(room.name)
    exercise = Exercise(
        root / "exercises" / kit.name, root / "private" if kit.private is not None else None
    )
    files = {
        exercise.folder / f"test_{kit.name}.py": kit.rubric,
        root / "private" / f"test_{kit.name}.py": kit.private,
        exercise.folder.parents[1] / "solutions" / f"{kit.name}.ipynb": kit.solution,
    }
    for path, content in files.items():
        if content is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return Setup(exercise, kit.seed, kit.wrapped, kit.limits)
