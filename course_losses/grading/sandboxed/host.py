"""Answers questions about the names of one notebook: call this, differentiate that.

The same class serves a submission inside the sandbox, the solution in the trusted process, and the
learner's own namespace in ``check``: whoever is asked, the question is understood in the same way.
"""

import textwrap
import traceback
from collections.abc import Iterator
from typing import Any

import torch

from . import wire


class Host:
    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.objects: list[Any] = []

    def answer(self, frame: bytes) -> bytes:
        """The reply to one frame: ``[id, value, None]``, or ``[id, None, what was raised]``."""
        question = wire.unpack(frame)
        number = question["id"]
        try:
            operation = getattr(self, question["op"])
            value = operation(*self._own(question["args"]), **self._own(question["kwargs"]))
            return wire.pack([number, value, None], self._keep)
        except BaseException as error:  # the notebook's code may raise anything, SystemExit too
            return wire.pack([number, None, describe(error)])

    def defined(self, *names: str) -> list[str]:
        """Those of the names that the notebook defines."""
        return [name for name in names if self.names.get(name) is not None]

    def borrowed(self, *names: str) -> list[str]:
        """Those of the names that come from the course's package."""
        return [name for name in names if any(map(_of_the_course, _origins(self.names.get(name))))]

    def call(self, target: Any, /, *args: Any, **kwargs: Any) -> Any:
        return target(*args, **kwargs)

    def gradient(self, target: Any, /, *args: Any, **kwargs: Any) -> Any:
        """The result, and its gradients by all arguments and parameters that ask for one."""
        module = target if isinstance(target, torch.nn.Module) else torch.nn.Module()
        trainable = {name: p for name, p in module.named_parameters() if p.requires_grad}
        leaves = [leaf for leaf in _tensors([args, kwargs]) if leaf.requires_grad]
        value = target(*args, **kwargs)
        sources = [*leaves, *trainable.values()]
        grads: list[Any] = [None] * len(sources)
        if isinstance(value, torch.Tensor) and value.requires_grad:
            grads = list(torch.autograd.grad(value.sum(), sources, allow_unused=True))
        named = dict(zip(trainable, grads[len(leaves) :], strict=True))
        return value, grads[: len(leaves)], named

    def changed_by(self, target: Any, /, *args: Any, **kwargs: Any) -> list[int | str]:
        """Positions and names of the tensors that a call changes in place."""
        given: dict[Any, Any] = {**dict(enumerate(args)), **kwargs}
        before = {k: v.detach().clone() for k, v in given.items() if isinstance(v, torch.Tensor)}
        target(*args, **kwargs)
        return [key for key, value in before.items() if not torch.equal(value, given[key])]

    def value_of(self, target: Any) -> Any:
        return target

    def parameters(self, module: Any) -> dict[str, Any]:
        return {name: parameter.detach() for name, parameter in module.named_parameters()}

    def set_parameters(self, module: Any, values: dict[str, Any]) -> None:
        """Overwrites parameters by name."""
        with torch.no_grad():
            for name, value in values.items():
                module.get_parameter(name).copy_(value)

    def beside(self, source: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Runs a function that the rubric sends, next to the notebook's objects."""
        namespace: dict[str, Any] = {"torch": torch, "nn": torch.nn}
        exec(textwrap.dedent(source), namespace)
        return namespace[name](*args, **kwargs)

    def fixture(self, source: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Builds a module of the rubric's: a seed means the same weights in every dtype."""
        dtype = torch.get_default_dtype()
        try:
            torch.set_default_dtype(torch.float64)
            module = self.beside(source, name, *args, **kwargs)
        finally:
            torch.set_default_dtype(dtype)
        return module.to(dtype)

    def _keep(self, value: Any) -> int:
        self.objects.append(value)
        return len(self.objects) - 1

    def _own(self, value: Any) -> Any:
        """A received value with its references resolved, floats in the notebook's default dtype."""
        if isinstance(value, wire.Reference):
            found = self._find(value.number)
            for name in value.path:
                found = getattr(found, name)
            return found
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            grad = value.requires_grad
            return value.detach().to(torch.get_default_dtype()).requires_grad_(grad)
        if isinstance(value, list):
            return [self._own(item) for item in value]
        if isinstance(value, dict):
            return {key: self._own(item) for key, item in value.items()}
        return value

    def _find(self, number: int | str) -> Any:
        if isinstance(number, int):
            return self.objects[number]
        if number not in self.names:
            raise NameError(f"{number} is not defined")
        return self.names[number]


def describe(error: BaseException) -> dict[str, Any]:
    """An exception as data: its type, its text, and the notebook's line that it came from."""
    try:
        text = str(error)[:500]
    except BaseException:
        text = ""
    places = [
        f"{frame.filename.strip('<>')}, line {frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__, limit=200)
        if frame.filename.startswith("<cell ")
    ]
    place = places[-1] if places else ""
    return {"type": type(error).__name__[:100], "text": text, "place": place}


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _tensors(item)


def _origins(thing: Any) -> list[str]:
    kinds = thing.__mro__ if isinstance(thing, type) else [thing]
    return [str(getattr(kind, "__module__", "")) for kind in kinds]


def _of_the_course(module: str) -> bool:
    return module.split(".")[0] == "course_losses"
