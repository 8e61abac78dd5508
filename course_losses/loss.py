"""What every loss shares: how its values become one number, and in which precision."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import reduce, wraps
from typing import Any, Literal, TypeVar, get_args

import torch
from torch import Tensor, nn

from course_losses.checks import one_of

Reduction = Literal["mean", "sum", "none"]
Forward = TypeVar("Forward", bound=Callable[..., Tensor])


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
        return ", ".join(f"{n}={getattr(self, n)!r}" for n in names if hasattr(self, n))


def in_float32(forward: Forward) -> Forward:
    """Half precision, autocast included, is computed in float32; the result is cast back."""

    @wraps(forward)
    def computed(*args: Any, **kwargs: Any) -> Tensor:
        floats = [x for x in _tensors((*args, *kwargs.values())) if x.is_floating_point()]
        device = floats[0].device.type if floats else "cpu"
        if all(x.itemsize >= 4 for x in floats) and not torch.is_autocast_enabled(device):
            return forward(*args, **kwargs)
        dtype = reduce(torch.promote_types, (x.dtype for x in floats))
        with torch.autocast(device, enabled=False):
            result = forward(
                *map(_widened, args), **{name: _widened(x) for name, x in kwargs.items()}
            )
        return result.to(dtype)

    return computed  # type: ignore[return-value]


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors among arguments, mappings and sequences of them included."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _tensors(part)


def _widened(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _widened(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_widened(part) for part in value]
    half = isinstance(value, Tensor) and value.is_floating_point() and value.itemsize < 4
    return value.float() if half else value
