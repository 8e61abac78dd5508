"""One run over a class: grade what has no valid record yet, in parallel, and lose nothing."""

from __future__ import annotations

import functools
import hashlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any

from .exercise import Exercise
from .notebook import InvalidNotebookError, read_file
from .records import HALF, Record, Records
from .sandbox import Limits
from .session import Session
from .slot import KILLED, Outcome, Slot
from .submissions import Submission


class BusyError(Exception):
    """Another run writes to the same folder."""


@dataclass(frozen=True)
class Setup:
    """All that a grading process must know, small enough to travel with every notebook."""

    exercise: Exercise
    seed: int
    wrapped: bool
    limits: Limits


@dataclass
class Task:
    """A submission that has to be graded, and what to write beside its outcome."""

    submission: Submission
    content: bytes | InvalidNotebookError
    record: Callable[[Outcome], Record]


@dataclass(frozen=True)
class Engine:
    """Where notebooks are graded.

    Args:
        pool: gives an executor for so many notebooks at a time.
        grade: what is run there, on a prepared setup and a notebook.
        prepare: makes a setup fit to be sent.
        broken: what is raised when the process that graded a notebook has died.
    """

    pool: Callable[[int], AbstractContextManager[Executor]]
    grade: Callable[[Any, bytes | InvalidNotebookError], Outcome]
    prepare: Callable[[Setup], Any]
    broken: tuple[type[Exception], ...]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps a second run out of the folder, and clears what a killed one had half written."""
    import fcntl  # not on Windows, where learners may check but nobody grades

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BusyError(f"another run writes to {folder}") from None
        for part in folder.rglob(HALF):
            part.unlink()
        yield


class Run:
    """Grades submissions into records.

    Args:
        records: where outcomes go, and where those of an earlier run are found.
        exercises: by name.
        wrapped: run notebooks in bubblewrap.
        limits: what one notebook may use.
        jobs: how many notebooks run at a time.
        engine: where they run: grading processes of this machine, or a cluster.
    """

    def __init__(
        self,
        records: Records,
        exercises: dict[str, Exercise],
        wrapped: bool,
        limits: Limits,
        jobs: int,
        engine: Engine | None = None,
    ) -> None:
        self.records, self.exercises, self.jobs = records, exercises, jobs
        self.engine = engine or LOCAL
        self.wrapped, self.limits, self.seed = wrapped, limits, records.seed()
        self.rubrics: dict[str, str] = {}

    def grade(self, submissions: Sequence[Submission]) -> Iterator[Submission]:
        """Yields each submission once its record is on disk."""
        for name in sorted({submission.exercise for submission in submissions}):
            self.rubrics[name] = self.exercises[name].fingerprint()
        waiting = iter(sorted(submissions, key=lambda submission: submission.exercise))
        pending: dict[Future[Outcome], Task] = {}
        while True:
            with self.engine.pool(self.jobs) as executor:
                try:
                    yield from self._through(executor, waiting, pending)
                    return
                except self.engine.broken:
                    broken, pending = list(pending.values()), {}
            for task in broken:
                yield self._alone(task)

    def _through(
        self,
        executor: Executor,
        waiting: Iterator[Submission],
        pending: dict[Future[Outcome], Task],
    ) -> Iterator[Submission]:
        """A window of notebooks in flight, so that a large class takes no more memory."""
        for submission in waiting:
            task = self._task(submission)
            if task is None:
                yield submission
                continue
            pending[self._sent(executor, task)] = task
            if len(pending) >= 2 * self.jobs:
                yield from self._received(pending)
        while pending:
            yield from self._received(pending)

    def _task(self, submission: Submission) -> Task | None:
        """What is left to do for a submission: nothing when its record holds."""
        rubric = self.rubrics[submission.exercise]
        content: bytes | InvalidNotebookError
        try:
            content = read_file(submission.path)
        except InvalidNotebookError as fault:
            content = fault
        notebook = hashlib.sha256(content if isinstance(content, bytes) else str(content).encode())
        known = self.records.read(submission)
        if known and known.holds(notebook.hexdigest(), rubric, self.limits):
            return None
        record = functools.partial(
            Record,
            notebook=notebook.hexdigest(),
            rubric=rubric,
            seed=self.seed,
            isolation="bubblewrap" if self.wrapped else "none",
            limits=self.limits,
        )
        return Task(submission, content, record)

    def _sent(self, executor: Executor, task: Task) -> Future[Outcome]:
        exercise = self.exercises[task.submission.exercise]
        setup = Setup(exercise, self.seed, self.wrapped, self.limits)
        return executor.submit(self.engine.grade, self.engine.prepare(setup), task.content)

    def _received(self, pending: dict[Future[Outcome], Task]) -> Iterator[Submission]:
        for future in wait(pending, return_when=FIRST_COMPLETED).done:
            outcome = future.result()
            yield self._written(pending.pop(future), outcome)

    def _alone(self, task: Task) -> Submission:
        """Grades what was in flight when a grading process died, one in a process of its own."""
        with self.engine.pool(1) as executor:
            try:
                outcome = self._sent(executor, task).result()
            except self.engine.broken:
                total = points(self.exercises[task.submission.exercise])
                outcome = Outcome(KILLED, 0.0, total, "its grading process died twice")
        return self._written(task, outcome)

    def _written(self, task: Task, outcome: Outcome) -> Submission:
        self.records.write(task.submission, task.record(outcome))
        return task.submission


def points(exercise: Exercise) -> float:
    """What an exercise's rubrics are worth together."""
    session = Session(exercise.rubrics)
    try:
        return session.points
    finally:
        session.close()


_open: dict[Setup, Slot] = {}
_one_at_a_time = threading.Lock()


def grade_content(setup: Setup, content: bytes | InvalidNotebookError) -> Outcome:
    """Grades one notebook in this process, which keeps the slot of one exercise open."""
    with _one_at_a_time:
        if setup not in _open:
            close_slots()
            _open[setup] = Slot(setup.exercise, setup.seed, setup.wrapped, setup.limits)
        if isinstance(content, InvalidNotebookError):
            return _open[setup].refuse(content)
        return _open[setup].grade(content)


def close_slots() -> None:
    """Ends the sandbox that this process keeps open."""
    while _open:
        _open.popitem()[1].close()


@contextmanager
def processes(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Grading processes that end with this one, however it ends."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    executor = ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)
    try:
        yield executor
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    finally:
        executor.shutdown()


LOCAL = Engine(processes, grade_content, lambda setup: setup, (BrokenProcessPool,))


def _begin() -> None:
    """Prepares a grading process: Ctrl-C is the main process's to handle, and its death is ours."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    Finalize(None, close_slots, exitpriority=1)
    threading.Thread(target=_outlive_nobody, daemon=True).start()


def _outlive_nobody() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
