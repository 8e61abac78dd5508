"""The learner's notebook as the rubric sees it: names that can be called, wherever they live.

A rubric writes ``student.TverskyLoss(alpha=0.3)(pred, target)``; each call becomes one frame to a
:class:`~course_losses.grading.sandboxed.host.Host`, in the sandbox or in this process.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from .sandboxed.host import Host
from .sandboxed.wire import Reference, WireError, pack, unpack

LEARNERS = "the learner's code"
_source = functools.cache(inspect.getsource)


class Ask(Protocol):
    def __call__(self, frame: bytes) -> bytes: ...


class StudentError(Exception):
    """The learner's code raised: ``kind`` and ``text`` as told by it, ``place`` in its notebook."""

    def __init__(self, kind: str, text: str, place: str = "") -> None:
        self.kind, self.text, self.place = kind, text, place
        super().__init__(f"{kind}: {text}" if text else kind)


class Link:
    """Sends questions one at a time; a reply must carry its question's number."""

    def __init__(self, ask: Ask) -> None:
        self._ask, self._count = ask, 0

    def ask(self, op: str, /, *args: Any, **kwargs: Any) -> Any:
        self._count += 1
        question = {"id": self._count, "op": op, "args": list(args), "kwargs": kwargs}
        reply = unpack(self._ask(pack(question)))
        if not isinstance(reply, list) or len(reply) != 3:
            raise WireError("a malformed reply")
        if type(reply[0]) is not int or reply[0] != self._count:
            raise WireError("a reply to a question that was not asked")
        _, value, raised = reply
        if raised is not None:
            if not isinstance(raised, dict) or not all(isinstance(v, str) for v in raised.values()):
                raise WireError("a malformed exception")
            kind, text, place = (raised.get(part, "")[:500] for part in ("type", "text", "place"))
            raise StudentError(kind, text, place)
        return _alive(value, self)


class Remote(Reference):
    """Something in the learner's namespace: call it, or name one of its attributes."""

    def __init__(self, link: Link, number: int | str, path: tuple[str, ...], kind: str) -> None:
        super().__init__(number, path, kind)
        self._link = link

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._link.ask("call", self, *args, **kwargs)

    def __getattr__(self, name: str) -> Remote:
        if name.startswith("__"):
            raise AttributeError(name)
        return Remote(self._link, self.number, (*self.path, name), self.kind)

    def __repr__(self) -> str:
        return f"a {self.kind}"


class Student:
    """``student.NAME`` is whatever the notebook calls NAME."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def __getattr__(self, name: str) -> Remote:
        if name.startswith("__"):
            raise AttributeError(name)
        return Remote(self._link, name, (), "name")

    __getitem__ = __getattr__


def here(names: dict[str, Any]) -> Student:
    """A student whose names live in this process: the solution, or the learner's own kernel."""
    return Student(Link(Host(names).answer))


class Gradient(NamedTuple):
    """A result with its gradients, ``None`` where none arrives."""

    value: Any
    arguments: list[Tensor | None]
    parameters: dict[str, Tensor | None]


def gradient(target: Remote, /, *args: Any, **kwargs: Any) -> Gradient:
    """Calls ``target`` and differentiates the result by each argument with ``requires_grad``, in
    their order, and by each parameter of ``target``."""
    return Gradient(*target._link.ask("gradient", target, *args, **kwargs))


def changed_by(target: Remote, /, *args: Any, **kwargs: Any) -> list[int | str]:
    """Which tensors among the arguments a call changes in place: positions and names."""
    return list(target._link.ask("changed_by", target, *args, **kwargs))


def value_of(attribute: Remote) -> Any:
    """An attribute as data: ``value_of(weighting.log_vars)``."""
    return attribute._link.ask("value_of", attribute)


def parameters(module: Remote) -> dict[str, Tensor]:
    """A module's parameters by name."""
    return dict(module._link.ask("parameters", module))


def set_parameters(module: Remote, values: dict[str, Tensor]) -> None:
    """Overwrites parameters by name: move them, then look at the value."""
    module._link.ask("set_parameters", module, values)


def beside(student: Student, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Runs a self-contained ``function`` of the rubric next to the learner's objects.

    Its source is sent, so it may use ``torch``, ``nn`` and what it imports itself. What it returns
    is data, or stays there as an object that later calls can use.
    """
    source = _source(function)
    return student._link.ask("beside", source, function.__name__, *args, **kwargs)


def fixture(student: Student, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Remote:
    """A module that a self-contained ``function`` of the rubric builds beside the learner's.

    It is built in float64 and then given the notebook's dtype, so that a seed means the same
    weights for everyone.
    """
    source = inspect.getsource(function)
    built: Remote = student._link.ask("fixture", source, function.__name__, *args, **kwargs)
    return built


def numbers(value: Any) -> Tensor:
    """Numbers in lists, arrays or tensors, however nested, as one tensor."""
    if isinstance(value, (list, tuple)):
        return torch.stack([numbers(item) for item in value]) if value else torch.empty(0)
    return torch.as_tensor(value, dtype=torch.float64).detach()


def defined(student: Student, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that the notebook defines."""
    return _some_of(names, student._link.ask("defined", *names))


def borrowed(student: Student, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that come from the course's package."""
    return _some_of(names, student._link.ask("borrowed", *names))


def _some_of(names: Sequence[str], reply: Any) -> list[str]:
    if not isinstance(reply, list):
        raise WireError("a reply that is no list of names")
    return [name for name in names if name in reply]


def _alive(value: Any, link: Link) -> Any:
    if isinstance(value, Reference):
        return Remote(link, value.number, value.path, value.kind)
    if isinstance(value, list):
        return [_alive(item, link) for item in value]
    if isinstance(value, dict):
        return {key: _alive(item, link) for key, item in value.items()}
    return value
