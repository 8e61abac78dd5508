"""One pytest session over a rubric: collected once, run again for every student."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from _pytest.config import _prepareconfig  # what pytest-xdist drives its workers with
from _pytest.runner import runtestprotocol

from .answers import Answers
from .judge import FAILED, Judge, Verdict
from .rubric import Criterion, Mistake, RubricError
from .student import Student, borrowed, defined

UNUSED = ("cacheprovider", "capture", "doctest", "faulthandler", "junitxml", "logging", "terminal")


class UndefinedError(Exception):
    """There is nothing to judge; the message names what is missing."""


class Session:
    """The collected rubric of one exercise, its own file and the instructor's private ones.

    Args:
        files: rubric files; the first is the exercise's own and says what a notebook must define.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._judge: Judge | None = None
        for file in files:
            if "[" in str(file) or "::" in str(file):  # pytest takes them for its own
                raise RubricError(f"{file} cannot be read: rename the folder, without [ and ::")
        arguments = [str(file) for file in files] + ["--config-file", os.devnull]
        arguments += ["--import-mode=importlib", "--noconftest", f"--rootdir={files[0].parent}"]
        for plugin in UNUSED:
            arguments += ["-p", f"no:{plugin}"]
        with _only_own_plugins():
            config = _prepareconfig(arguments, [self])
        self._config = config
        config._do_configure()
        try:
            session = pytest.Session.from_config(config)
            config.hook.pytest_sessionstart(session=session)
            config.hook.pytest_collection(session=session)
            self._items = session.items
            self._check(files)
        except BaseException:
            self.close()
            raise
        finally:
            _forget(files)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            raise RubricError(f"{report.nodeid} cannot be read:\n{report.longreprtext}")

    @pytest.fixture
    def judge(self) -> Judge:
        assert self._judge is not None
        return self._judge

    def _check(self, files: Sequence[Path]) -> None:
        for item in self._items:
            if not hasattr(item.obj, "criterion"):  # type: ignore[attr-defined]
                raise RubricError(f"{item.nodeid} is no criterion: decorate it with @criterion")
        if not self._items or not hasattr(self._modules()[0], "NEEDS"):
            raise RubricError(f"{files[0]} needs NEEDS, the names a notebook defines, and criteria")
        names = [line.name for line in self.criteria]
        names += [mistake.name for mistake in self.mistakes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RubricError(f"two criteria or mistakes are called {', '.join(twice)}")
        for number, criterion in enumerate(self.criteria):
            if criterion.after and criterion.after not in names[:number]:
                raise RubricError(f"{criterion.name}: no criterion before it is {criterion.after}")
        for mistake in self.mistakes:
            if mistake.target not in self.needs:
                raise RubricError(f"{mistake.name}: {mistake.target} is not among NEEDS")

    def _modules(self) -> list[ModuleType]:
        return list(dict.fromkeys(item.module for item in self._items))  # type: ignore[attr-defined]

    @property
    def needs(self) -> list[str]:
        """The names that the notebook must define."""
        return list(self._modules()[0].NEEDS)

    @property
    def modules(self) -> list[str]:
        """The modules of the course that the notebook may import while it is graded."""
        return list(getattr(self._modules()[0], "MODULES", []))

    @property
    def criteria(self) -> list[Criterion]:
        return [item.obj.criterion for item in self._items]  # type: ignore[attr-defined]

    @property
    def points(self) -> float:
        return sum(criterion.points for criterion in self.criteria)

    @property
    def mistakes(self) -> list[Mistake]:
        found = [vars(module).values() for module in self._modules()]
        return [value for values in found for value in values if isinstance(value, Mistake)]

    def run(self, student: Student, answers: Answers) -> list[Verdict]:
        """Every criterion's verdict.

        Raises:
            UndefinedError: the notebook defines none of the names that the rubric needs.
        """
        if not defined(student, self.needs):
            raise UndefinedError(" and ".join(self.needs) + " is not defined")
        taken = borrowed(student, self.needs)
        if taken:
            told = f"{taken[0]} comes from course_losses; here you write it yourself."
            return self.refused(FAILED, told)
        self._judge = Judge(student, answers, self.mistakes)
        for item in self._items:
            for report in runtestprotocol(item, log=False, nextitem=None):
                if report.failed and item.obj.criterion.name not in self._judge.verdicts:  # type: ignore[attr-defined]
                    raise self._judge.over or RubricError(f"{item.nodeid}:\n{report.longreprtext}")
        return list(self._judge.verdicts.values())

    def refused(self, outcome: str, diagnosis: str) -> list[Verdict]:
        """The same verdict on every criterion."""
        return [
            Verdict(line.name, line.title, outcome, 0.0, line.points, diagnosis)
            for line in self.criteria
        ]

    def close(self) -> None:
        self._config._ensure_unconfigure()


def _forget(files: Sequence[Path]) -> None:
    """Makes the next rubric of the same name be read, not be taken for this one."""
    paths = {str(file) for file in files}
    for name, module in list(sys.modules.items()):
        if vars(module).get("__file__") in paths:
            del sys.modules[name]


@contextmanager
def _only_own_plugins() -> Iterator[None]:
    """Keeps other packages' plugins, and options meant for another session, out of this one."""
    wanted = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "", "PYTEST_PLUGINS": ""}
    before: dict[str, Any] = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
