"""The cards of the regression losses."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from course_losses import regression as losses
from course_losses.catalogue.card import LossCard, Problem, root, skewed, slope


def pairs(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    target, error = torch.randn(2, 24, generator=generator, dtype=torch.float64)
    return target + scale * error, target


def normals(generator: Generator, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    mean, target = pairs(generator, scale)
    mean[::4] = target[::4]
    log_variance = scale * torch.randn(24, generator=generator, dtype=torch.float64)
    return mean, log_variance.clamp(-300, 300).exp(), target


def best_constant(
    statistic: Callable[[Any, Tensor], float | Tensor],
) -> Callable[[Any, Generator], Problem]:
    """The problem of one prediction for many targets."""

    def problem(loss: Any, generator: Generator) -> Problem:
        y = skewed(generator)
        best = torch.as_tensor(statistic(loss, y), dtype=torch.float64)
        return Problem(lambda c: loss(c.expand_as(y), y), best, torch.linspace(-1, 6, 57))

    return problem


def balance(y: Tensor, pull: Callable[[Tensor], Tensor]) -> float:
    """Where the targets' pulls cancel: the general form of an M-estimate."""
    return root(lambda c: pull(y - c).sum().item(), y.min().item(), y.max().item())


def expectile(loss: Any, y: Tensor) -> float:
    return balance(y, lambda r: torch.where(r < 0, loss.over_penalty * r, r))


def mean_and_variance(loss: Any, generator: Generator) -> Problem:
    y = skewed(generator)

    def risk(c: Tensor) -> Any:
        return loss(c[0].expand_as(y), c[1].expand_as(y), y)

    grid = torch.cartesian_prod(torch.linspace(-1, 3, 9), torch.linspace(0.1, 4, 9)).double()
    return Problem(risk, torch.stack([y.mean(), y.var(correction=0)]), grid)


def a_far_target_moves_the_mean() -> bool:
    """One target at 1000 among 99 at 0 moves the best constant prediction from 0 to 10."""
    y = torch.zeros(100, dtype=torch.float64)
    y[0] = 1000
    at_ten = slope(losses.MSELoss(), torch.full_like(y, 10.0), y).sum().item()
    return abs(at_ten) < 1e-12


def full_speed_to_the_end() -> bool:
    """The slope is 1 at an error of 1e-9 as at 1000, so fixed steps keep jumping over targets."""
    errors = torch.tensor([1e-9, 1000.0], dtype=torch.float64)
    slopes = slope(losses.L1Loss(reduction="sum"), errors, torch.zeros_like(errors))
    return slopes.tolist() == [1.0, 1.0]


def delta_in_the_wrong_units() -> bool:
    """With targets in metres instead of kilometres, delta=1 turns the squared error absolute."""
    kilometres = torch.tensor([0.2, -0.5, 0.9], dtype=torch.float64)
    loss, zero = losses.HuberLoss(reduction="sum"), torch.zeros(3, dtype=torch.float64)
    squared = torch.equal(slope(loss, kilometres, zero), kilometres)
    return squared and torch.equal(slope(loss, 1000 * kilometres, zero), kilometres.sign())


def not_huber() -> bool:
    """With beta=0.1 it is ten times Huber's loss with delta=0.1, and so is its learning rate."""
    pred, target = torch.tensor([0.05, 3.0]), torch.zeros(2)
    ratio = losses.SmoothL1Loss(beta=0.1)(pred, target) / losses.HuberLoss(delta=0.1)(pred, target)
    return math.isclose(ratio.item(), 10, rel_tol=1e-5)


def newton_runs_away() -> bool:
    """Newton's method goes from an error of 2 to -11.6 and on: the curvature all but vanishes."""
    error = torch.tensor([2.0], dtype=torch.float64, requires_grad=True)
    value = losses.LogCoshLoss()(error, torch.zeros_like(error))
    (first,) = torch.autograd.grad(value, error, create_graph=True)
    (second,) = torch.autograd.grad(first, error)
    return abs((error - first / second).item() + 11.64) < 0.01


def no_quantile() -> bool:
    """A penalty of 9 against 1 does not give the 10 % quantile: it gives an expectile."""
    y = skewed(torch.Generator().manual_seed(0), 10_001)
    found = expectile(losses.AsymmetricMSELoss(over_penalty=9), y)
    return (y < found).double().mean().item() > 0.25


def nothing_beyond_the_largest() -> bool:
    """The 0.99 quantile of 50 targets is their maximum: what lies beyond it, no loss can know."""
    y = skewed(torch.Generator().manual_seed(0), 50)
    pull = [
        slope(losses.QuantileLoss(0.99), (y.max() + d).expand(50), y).sum() for d in (-0.01, 0.01)
    ]
    return bool(pull[0] < 0 < pull[1])


def shrinking_variance() -> bool:
    """Where the mean hits a target exactly, the loss has no bottom: it falls with the variance."""
    zero = torch.zeros(1, dtype=torch.float64)
    values = [losses.GaussianNLLLoss()(zero, zero + v, zero).item() for v in (1.0, 1e-9, 1e-99)]
    return values == sorted(values, reverse=True) and values[-1] < -100


CARDS = [
    LossCard(
        loss=losses.MSELoss,
        formula=r"r^2, \quad r = \hat y - y",
        domain="any real numbers",
        range=("0", "inf"),
        minimiser="the mean of the targets",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch="F.mse_loss(pred, target)",
        use="errors that are symmetric and without outliers; when you want the mean",
        avoid="outliers, or targets that span several orders of magnitude",
        failure=a_far_target_moves_the_mean,
        inputs=pairs,
        problem=best_constant(lambda loss, y: y.mean()),
    ),
    LossCard(
        loss=losses.L1Loss,
        formula=r"|r|",
        domain="any real numbers",
        range=("0", "inf"),
        minimiser="the median of the targets",
        convex=True,
        gradient_bound="1",
        activation="none",
        torch="F.l1_loss(pred, target)",
        use="outliers in the targets; when you want the median",
        avoid="a fixed learning rate and high precision at the end",
        failure=full_speed_to_the_end,
        inputs=pairs,
        problem=best_constant(lambda loss, y: y.median()),
    ),
    LossCard(
        loss=losses.HuberLoss,
        formula=r"\tfrac12 r^2 \text{ if } |r| \le \delta, "
        r"\text{ else } \delta(|r| - \tfrac12\delta)",
        domain="any real numbers",
        range=("0", "inf"),
        minimiser="the constant around which errors clipped to ±delta cancel",
        convex=True,
        gradient_bound="delta",
        activation="none",
        torch="F.huber_loss(pred, target, delta=delta)",
        use="mostly clean targets with some outliers, once you know the size of a usual error",
        avoid="targets whose scale you do not know: delta is in their units",
        failure=delta_in_the_wrong_units,
        inputs=pairs,
        problem=best_constant(
            lambda loss, y: balance(y, lambda r: r.clamp(-loss.delta, loss.delta))
        ),
        examples=({}, {"delta": 0.3}, {"delta": 5.0}),
    ),
    LossCard(
        loss=losses.SmoothL1Loss,
        formula=r"\tfrac{1}{2\beta} r^2 \text{ if } |r| < \beta, \text{ else } |r| - \tfrac12\beta",
        domain="any real numbers",
        range=("0", "inf"),
        minimiser="the constant around which errors clipped to ±beta cancel",
        convex=True,
        gradient_bound="1",
        activation="none",
        torch="F.smooth_l1_loss(pred, target, beta=beta)",
        use="box coordinates and other targets where the slope of L1 is wanted without its corner",
        avoid="reading beta as Huber's delta: the two differ by that factor",
        failure=not_huber,
        inputs=pairs,
        problem=best_constant(lambda loss, y: balance(y, lambda r: r.clamp(-loss.beta, loss.beta))),
        examples=({}, {"beta": 0.3}, {"beta": 5.0}),
    ),
    LossCard(
        loss=losses.LogCoshLoss,
        formula=r"\log\cosh r",
        domain="any real numbers",
        range=("0", "inf"),
        minimiser="the constant around which tanh of the errors cancels",
        convex=True,
        gradient_bound="1",
        activation="none",
        torch=None,
        use="Huber's purpose where every derivative must exist, on targets of scale 1",
        avoid="Newton's method without damping, and targets far from scale 1",
        failure=newton_runs_away,
        inputs=pairs,
        problem=best_constant(lambda loss, y: balance(y, torch.tanh)),
    ),
    LossCard(
        loss=losses.AsymmetricMSELoss,
        formula=r"w r^2 \text{ if } r > 0, \text{ else } r^2",
        domain="any real numbers",
        range=("0", "inf"),
        minimiser="the expectile of the targets at level 1 / (1 + over_penalty)",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="costs that grow with the square of the error and differ by its side",
        avoid="asking for a quantile, which is what QuantileLoss gives",
        failure=no_quantile,
        inputs=pairs,
        problem=best_constant(expectile),
        examples=({}, {"over_penalty": 0.5}, {"over_penalty": 9.0}),
    ),
    LossCard(
        loss=losses.QuantileLoss,
        formula=r"\max(q u, (q - 1) u), \quad u = y - \hat y",
        domain="any real numbers",
        range=("0", "inf"),
        minimiser="the quantile of the targets",
        convex=True,
        gradient_bound="max(quantile, 1 - quantile)",
        activation="none",
        torch=None,
        use="intervals, stock and capacity: the value that a share of the targets stays below",
        avoid="several levels at once without keeping them in order",
        failure=nothing_beyond_the_largest,
        inputs=pairs,
        problem=best_constant(lambda loss, y: y.quantile(loss.quantile, interpolation="nearest")),
        examples=({}, {"quantile": 0.9}, {"quantile": 0.25}),
    ),
    LossCard(
        loss=losses.GaussianNLLLoss,
        formula=r"\tfrac12 \bigl( \log\sigma^2 + (y - \mu)^2 / \sigma^2 \bigr)",
        domain="means: any real numbers; variances: positive",
        range=("-inf", "inf"),
        minimiser="the mean of the targets and their mean squared deviation",
        convex=False,
        gradient_bound="inf",
        activation="none, softplus",
        torch="F.gaussian_nll_loss(mean, target, variance, full=full, eps=1e-300)",
        use="noise whose size depends on the input, when you want to know it",
        avoid="noise-free targets or variances without a floor",
        failure=shrinking_variance,
        inputs=normals,
        problem=mean_and_variance,
        predictions=2,
        examples=({}, {"full": True}),
    ),
]
