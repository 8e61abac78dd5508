"""A loss card: what is known about one loss, each fact in a form that a test can check."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

Inputs = tuple[Any, ...]


class Problem(NamedTuple):
    """A risk with a known solution: nothing among ``others`` may cost less than ``best``."""

    risk: Callable[[Tensor], Any]
    best: Tensor
    others: Tensor
    allowed: Callable[[Tensor], Tensor] = lambda prediction: prediction
    """Leads a prediction back into the domain."""


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "none": lambda z: z,
    "sigmoid": torch.sigmoid,
    "softmax": lambda z: z.softmax(1),
    "log_softmax": lambda z: z.log_softmax(1),
    "softplus": F.softplus,
}
"""What the last layer of the network applies, so that its output lies in the loss's domain."""


@dataclass(frozen=True, kw_only=True)
class LossCard:
    """What is known about one loss. Expressions are written in its hyperparameters.

    K is the number of classes, 4 in all ``inputs``, N the number of pairs, 6.

    ``tests/losses/test_catalogue.py`` tests every fact below numerically, for each of the
    ``examples``.
    """

    loss: type[nn.Module]
    formula: str
    """In LaTeX, for one example."""
    domain: str
    """What the predictions may be."""
    range: tuple[str, str]
    """The least and the largest value of one example's loss; both are approached."""
    minimiser: str
    """The prediction whose expected loss is least."""
    convex: bool
    """In all predictions together."""
    gradient_bound: str
    """The largest slope of one example's loss in one number of the prediction."""
    activation: str
    """A key of ``ACTIVATIONS``; one for each prediction, if there are several."""
    torch: str | None
    """The same loss in torch, over the names of the inputs; None where torch has none."""
    use: str
    avoid: str
    failure: Callable[[], bool]
    """A known failure, told by its docstring; true when it happens as told."""
    inputs: Callable[[Generator, float], Inputs]
    """Valid inputs whose predictions are off by about the second argument."""
    problem: Callable[[Any, Generator], Problem]
    """What ``minimiser`` says, as a risk and its solution."""
    predictions: int = 1
    """How many of the first arguments of ``forward`` are predictions."""
    examples: tuple[dict[str, Any] | Callable[[], dict[str, Any]], ...] = ({},)
    """Hyperparameters for which the facts are tested, or functions that make them."""
    call: Callable[..., Any] | None = None
    """From the loss and the inputs to a value, where that is not ``loss(*inputs)``."""

    @property
    def name(self) -> str:
        return self.loss.__name__

    @property
    def family(self) -> str:
        """The module that defines the loss."""
        return self.loss.__module__.rpartition(".")[2]

    @property
    def arguments(self) -> list[str]:
        """The names of the inputs."""
        return list(inspect.signature(self.call or self.loss.forward).parameters)[1:]

    def make(self, example: int = 0, **more: Any) -> nn.Module:
        """The loss with the hyperparameters of one of the examples, in float64."""
        given = self.examples[example]
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return self.loss(**(given() if callable(given) else given), **more).double()

    def value(self, loss: nn.Module, *inputs: Any) -> Any:
        """What the loss gives for the inputs."""
        return self.call(loss, *inputs) if self.call else loss(*inputs)

    @property
    def known_failure(self) -> str:
        return inspect.getdoc(self.failure) or ""

    def evaluate(self, expression: str, loss: nn.Module, *inputs: Any) -> Any:
        """The value of one of the card's expressions for one loss and its inputs."""
        names = {
            "F": F,
            "nn": nn,
            "torch": torch,
            "inf": math.inf,
            "log": math.log,
            "e": math.e,
            "pi": math.pi,
            "K": 4,
            "N": 6,
        }
        names |= {n: getattr(loss, n, None) for n in inspect.signature(self.loss).parameters}
        names |= dict(zip(self.arguments, inputs, strict=False))
        return eval(expression, {"__builtins__": {"max": max, "min": min}}, names)

    def rows(self) -> dict[str, str]:
        """What the card says, by heading."""
        low, high = self.range
        return {
            "Formula": f"${self.formula}$",
            "Domain": self.domain,
            "Range": f"from {low} to {high}",
            "Minimiser": self.minimiser,
            "Convex": "yes" if self.convex else "no",
            "Largest gradient": self.gradient_bound,
            "Last layer": self.activation,
            "In torch": self.torch or "none",
            "Use": self.use,
            "Avoid": self.avoid,
            "Known failure": self.known_failure,
        }

    def __str__(self) -> str:
        width = max(map(len, self.rows()))
        return "\n".join(
            [self.name, *(f"  {key.ljust(width)}  {text}" for key, text in self.rows().items())]
        )

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        lines = (
            f"| {key} | {text.replace('|', chr(92) + '|')} |" for key, text in self.rows().items()
        )
        return "\n".join([f"| {self.name} | |", "|---|---|", *lines])


def skewed(generator: Generator, size: int = 101) -> Tensor:
    """Targets whose mean, median and other centres differ."""
    return -torch.rand(size, generator=generator, dtype=torch.float64).log()


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that decreases from ``low`` to ``high`` is zero."""
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def slope(loss: nn.Module, pred: Tensor, *rest: Tensor) -> Tensor:
    """The gradient of a loss with respect to its first argument."""
    pred = pred.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(pred, *rest).sum(), pred)
    return gradient
