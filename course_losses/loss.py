"""What every loss shares: how its values become one number, and in which precision."""

import copy
import functools
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import wraps
from types import FunctionType
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from course_losses.checks import one_of

Reduction = Literal["mean", "sum", "none"]
Forward = TypeVar("Forward", bound=Callable[..., Tensor])
# Asked once: torch 2.6 compiles no call that asks.
DEVICES = ("cpu", "cuda", "mps", "xpu", "hpu", "mtia")
AUTOCAST = {device for device in DEVICES if torch.amp.is_autocast_available(device)}


class Loss(nn.Module):
    """A criterion: ``loss = criterion(prediction, target)``.

    Args:
        reduction: "mean", "sum" or "none": what becomes of the single values.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction: Reduction = one_of("reduction", reduction, get_args(Reduction))

    def reduce(self, values: Tensor) -> Tensor:
        """The mean or the sum of the values, or the values themselves."""
        if self.reduction == "mean":
            return values.mean()
        if self.reduction == "sum":
            return values.sum()
        return values

    def extra_repr(self) -> str:
        names = inspect.signature(type(self)).parameters
        shown = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return ", ".join(
            f"{name}={value!r}" for name, value in shown.items() if not isinstance(value, nn.Module)
        )


def with_reduction(name: str, base: nn.Module, reduction: Reduction) -> nn.Module:
    """``base`` if it reduces that way, else a copy that does: the caller's own stays as it is."""
    if not isinstance(base, nn.Module) or not hasattr(base, "reduction"):
        raise TypeError(
            f"{name} must be a loss module with a reduction, got {base!r}: "
            "pass for instance CrossEntropyLoss()"
        )
    if base.reduction == reduction:
        return base
    base = copy.deepcopy(base)
    base.reduction = reduction  # type: ignore[assignment]
    return base


def in_float32(forward: Forward) -> Forward:
    """Half precision is computed in float32 and cast back; under autocast it stays float32."""

    @wraps(forward)
    def computed(*args: Any, **kwargs: Any) -> Tensor:
        floats = [x for x in _tensors([args, kwargs]) if x.is_floating_point()]
        autocast = any(_autocast(x.device.type) for x in floats)
        if not autocast and all(x.itemsize >= 4 for x in floats):
            return forward(*args, **kwargs)
        with torch.autocast(floats[0].device.type, enabled=False) if autocast else nullcontext():
            result = forward(*_widened(args), **_widened(kwargs))
        return result if autocast else result.to(_promoted(floats))

    # A code object of its own, since torch.compile counts recompilations by code object.
    function = cast(FunctionType, computed)
    function.__code__ = function.__code__.replace(co_name=forward.__name__)
    return cast(Forward, computed)


def _autocast(device: str) -> bool:
    return device in AUTOCAST and torch.is_autocast_enabled(device)


def _promoted(tensors: Iterable[Tensor]) -> torch.dtype:
    return functools.reduce(torch.promote_types, (x.dtype for x in tensors))


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors among arguments, mappings and sequences of them included."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (Mapping, list, tuple)):  # torch 2.6 compiles no union here
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)


def _widened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _widened(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_widened(part) for part in value]
    half = isinstance(value, Tensor) and value.is_floating_point() and value.itemsize < 4
    return value.float() if half else value
