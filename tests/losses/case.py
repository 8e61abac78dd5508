"""The rows of the shared suite: what a loss is called with, and what it must refuse."""

from collections.abc import Callable
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

    def make(self, **arguments: Any) -> nn.Module:
        return self.loss(**arguments)

    def draw(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Any, ...]:
        generator = torch.Generator().manual_seed(seed)
        return tuple(cast(value, dtype) for value in self.inputs(generator))


@dataclass(frozen=True)
class Refused:
    """A call that must raise ``error`` with a message that matches ``message``."""

    name: str
    call: Callable[[], object]
    error: type[Exception]
    message: str


def cast(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() else value.clone()
    if isinstance(value, dict):
        return {name: cast(part, dtype) for name, part in value.items()}
    return value


def floats(inputs: tuple[Any, ...]) -> list[Tensor]:
    """The floating-point tensors among the inputs."""
    parts = [p for x in inputs for p in (x.values() if isinstance(x, dict) else [x])]
    return [x for x in parts if isinstance(x, Tensor) and x.is_floating_point()]
