"""The rubric of the hunt for log-cosh: both ends, their gradients, and what was right before."""

import torch
from torch import Tensor

from course_losses.grading import Case, criterion, gradient, mistake

NEEDS = ["log_cosh"]


def errors(size: Tensor, random: torch.Generator) -> Case:
    """Predictions that are off by ``size``, to either side."""
    sign = torch.randint(2, size.shape, generator=random) * 2 - 1
    return Case(pred=(sign * size).requires_grad_(), target=torch.zeros_like(size))


def large(random: torch.Generator) -> Case:
    return errors(720 + 2000 * torch.rand(5, generator=random), random)


def larger(random: torch.Generator) -> Case:
    return errors(10 ** (3 + 15 * torch.rand(5, generator=random)), random)


def tiny(random: torch.Generator) -> Case:
    case = errors(1e-9 * (1 + torch.rand(5, generator=random)), random)
    case.unit = 1e-18
    return case


def ordinary(random: torch.Generator) -> Case:
    case = errors(6 * torch.rand(3, 8, generator=random), random)
    case.target = torch.randn(3, 8, generator=random)
    case.pred = (case.pred + case.target).detach()
    case.pred[0, 0] = case.target[0, 0]
    case.pred.requires_grad_()
    return case


def mixed(random: torch.Generator) -> Case:
    """Every size in one batch."""
    return errors(10 ** torch.linspace(-9, 9, 19), random)


def finite(value: object, told: str) -> object:
    assert not isinstance(value, Tensor) or torch.isfinite(value).all(), told
    return value


@criterion(
    "Errors of a thousand: the value is finite and right",
    points=1,
    cases=large,
    tolerance=1e-5,
)
def test_large(student, case):
    value = student.log_cosh(case.pred, case.target)
    return finite(
        value, "The value is infinite: cosh overflows from 710 on (89 in float32). Avoid it there."
    )


@criterion(
    "… and so is the gradient, also where all sizes meet in a batch",
    points=2,
    cases=mixed,
    count=2,
    after="test_large",
)
def test_gradient(student, case):
    value, (slope,), _ = gradient(student.log_cosh, case.pred, case.target)
    finite(
        slope,
        "The gradient is NaN: torch.where multiplies the branch that it did not pick by 0, and "
        "0 · inf is NaN. Clamp what goes into that branch.",
    )
    if isinstance(slope, Tensor):
        assert slope[-4:].abs().min() > 0, (
            "The gradient of a large error is 0, as after a clamp. It is ±1/N: the worst example "
            "still pulls."
        )
    return value, slope


@criterion("An error of a billionth costs e²/2, not 0", points=1, cases=tiny)
def test_tiny(student, case):
    value, (slope,), _ = gradient(student.log_cosh, case.pred, case.target)
    if value is None or slope is None:
        return value, slope
    return value / case.unit, slope / case.unit**0.5


@criterion(
    "Between, everything is as it was",
    points=1,
    cases=ordinary,
    after="test_large",
)
def test_ordinary(student, case):
    value, (slope,), _ = gradient(student.log_cosh, case.pred, case.target)
    return value, slope


@mistake(
    "log_cosh",
    "A tiny error costs nothing: e²/2 is rounded away beside 1 (in cosh) or beside log 2. Small "
    "errors need a form of their own.",
)
def rounded_away(right, pred, target):
    return torch.log(torch.cosh(pred - target)).mean()


@mistake("log_cosh", "This is |e| − log 2 for every error. It holds for large ones only.")
def asymptote(right, pred, target):
    return ((pred - target).abs() - torch.tensor(2.0).log()).mean()


@mistake("log_cosh", "This is |e|. For large errors log cosh(e) is |e| − log 2.")
def absolute(right, pred, target):
    return (pred - target).abs().mean()


@mistake("log_cosh", "This is e²/2 for every error. It holds for small ones only.")
def half_square(right, pred, target):
    return ((pred - target) ** 2 / 2).mean()


@mistake("log_cosh", "The losses are summed. Their mean is asked for, as before.")
def summed(right, pred, target):
    return right(pred, target) * pred.numel()


@mistake("log_cosh", "One number per error comes back. Their mean is asked for, as before.")
def one_each(right, pred, target):
    return torch.stack([right(p, t) for p, t in zip(pred, target, strict=True)])


@mistake("log_cosh", "No gradient arrives: the result was detached, by .item() or .detach().")
def detached(right, pred, target):
    return right(pred.detach(), target)
