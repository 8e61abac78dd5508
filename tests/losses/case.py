"""The rows of the shared suite: what a loss is called with, and what it must refuse."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """One loss with hyperparameters and inputs on which every rule of the package must hold.

    The inputs are float64, away from kinks, with an uneven number of examples.
    """

    name: str
    loss: Callable[..., nn.Module]
    inputs: Callable[[torch.Generator], tuple[Any, ...]]
    shape: tuple[int, ...] | None
    """Shape of the result for "none"; None where the loss knows no reduction."""
    twice: bool = True
    """Twice differentiable."""
    gradcheck: bool = True
    """False where part of the formula is detached on purpose (say why beside the row)."""
    mean_of_values: bool = True
    """False where "mean" is not the plain mean of the values of "none"."""
    permutable: bool = True
    """Reordering the examples (dimension 0 of every input) leaves the loss as it is."""
    empty: type[Exception] | None = ValueError
    """What an empty batch raises; None: it gives a 0 that back-propagates."""

    def draw(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(seed)
        return cast(self.inputs(generator), dtype)


NO_LOSS = {
    "BayesianConv2d",
    "BayesianLinear",
    "DirichletHead",
    "Loss",
    "NormalInverseGammaHead",
    "TemperatureScaling",
}
"""The exported modules that are no losses: they need neither a row nor a card."""


@dataclass(frozen=True)
class Refused:
    """A call that must raise ``error`` with a message that matches ``message``."""

    name: str
    call: Callable[[], object]
    error: type[Exception]
    message: str


def each(function: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The value with every tensor in it, in dicts and sequences too, passed through function."""
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {name: each(function, part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(each(function, part) for part in value)
    return value


def cast(value: Any, dtype: torch.dtype) -> Any:
    """A copy of the value whose floating-point tensors have the dtype."""
    return each(lambda x: x.to(dtype) if x.is_floating_point() else x.clone(), value)


def floats(value: Any) -> list[Tensor]:
    """The floating-point tensors in the value, in order."""
    found: list[Tensor] = []
    each(lambda x: (found.append(x) if x.is_floating_point() else None, x)[1], value)
    return found


def with_floats(value: Any, replacements: Iterable[Tensor]) -> Any:
    """The value with its floating-point tensors replaced, in order."""
    new = iter(replacements)
    return each(lambda x: next(new) if x.is_floating_point() else x, value)
