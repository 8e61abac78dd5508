"""The rubric of the hunt for label relaxation: sure and right, sure and wrong, and in between."""

import torch
from torch import Tensor
from torch.nn import functional

from course_losses.grading import Case, criterion, gradient, mistake

NEEDS = ["label_relaxation"]


def with_gaps(gaps: Tensor, random: torch.Generator) -> Case:
    """Logits whose true class is ahead of the others by about ``gaps``."""
    count = len(gaps)
    target = torch.randint(4, (count,), generator=random)
    logits = torch.randn(count, 4, generator=random)
    logits[torch.arange(count), target] += gaps
    return Case(logits=logits.requires_grad_(), target=target, alpha=0.1)


def right_and_sure(random: torch.Generator) -> Case:
    return with_gaps(torch.tensor([45.0, 120.0, 800.0, 10000.0]), random)


def wrong_and_sure(random: torch.Generator) -> Case:
    sizes = torch.tensor([50.0, 120.0, 800.0, 10000.0])
    return with_gaps(-sizes * (1 + torch.rand(4, generator=random)), random)


def ordinary(random: torch.Generator) -> Case:
    case = with_gaps(6 * torch.rand(12, generator=random) - 2, random)
    case.alpha = round(0.05 + 0.25 * torch.rand((), generator=random).item(), 2)
    return case


def mixed(random: torch.Generator) -> Case:
    gaps = torch.tensor([-10000.0, -800.0, -40.0, -5.0, 0.0, 1.0, 8.0, 40.0, 800.0, 10000.0])
    return with_gaps(gaps, random)


def finite(slope: Tensor | None, told: str) -> Tensor | None:
    assert slope is None or torch.isfinite(slope).all(), told
    return slope


@criterion("Right and sure: loss 0, gradient 0", points=1, cases=right_and_sure)
def test_right(student, case):
    value, (slope,), _ = gradient(student.label_relaxation, case.logits, case.target, case.alpha)
    return value, finite(
        slope,
        "The gradient is NaN: p is 1, log(α / 0) is infinite, and torch.where multiplies the "
        "branch that it did not pick by 0. Clamp what goes into that branch.",
    )


@criterion("Wrong and sure: the loss is finite and right", points=1, cases=wrong_and_sure)
def test_wrong(student, case):
    value = student.label_relaxation(case.logits, case.target, case.alpha)
    if isinstance(value, Tensor):
        assert torch.isfinite(value).all(), (
            "The loss is not finite: the softmax underflows to 0 and its logarithm is −∞. "
            "log_softmax knows log p where p is 0."
        )
    return value


@criterion(
    "In one batch all gradients are right",
    points=1,
    cases=mixed,
    after="test_wrong",
)
def test_mixed(student, case):
    value, (slope,), _ = gradient(student.label_relaxation, case.logits, case.target, case.alpha)
    finite(slope, "The gradient is NaN where all sizes meet in a batch.")
    if slope is not None:
        assert (slope[:3].norm(dim=1) > 0).all(), (
            "A confident mistake has a gradient of 0: an eps or a clamp caps its loss. It must "
            "pull hardest."
        )
    return value, slope


@criterion("Between, the values are as they were", points=1, cases=ordinary, after="test_wrong")
def test_values(student, case):
    return student.label_relaxation(case.logits, case.target, alpha=case.alpha)


@criterion(
    "… and so are the gradients; the default of alpha is 0.1",
    points=1,
    cases=ordinary,
    after="test_wrong",
)
def test_gradients(student, case):
    value, (slope,), _ = gradient(student.label_relaxation, case.logits, case.target)
    if isinstance(value, Tensor):
        assert slope is not None, "No gradient arrives: the result was detached."
    return value, slope


@mistake(
    "label_relaxation",
    "This is cross-entropy with label smoothing. It pulls confident answers back; relaxation is "
    "content from 1 − α on.",
)
def smoothing(right, logits, target, alpha=0.1):
    return functional.cross_entropy(logits, target, label_smoothing=alpha)


@mistake(
    "label_relaxation",
    "This is cross-entropy. The divergence from the projection is meant: it is less.",
)
def cross_entropy(right, logits, target, alpha=0.1):
    return functional.cross_entropy(logits, target)


@mistake(
    "label_relaxation",
    "Cross-entropy where the network is not content: the divergence is cross-entropy to the "
    "projection, minus the projection's entropy.",
)
def thresholded(right, logits, target, alpha=0.1):
    losses = functional.cross_entropy(logits, target, reduction="none")
    return torch.where(losses > -torch.tensor(1 - alpha).log(), losses, 0.0).mean()


@mistake("label_relaxation", "The losses are summed. Their mean is asked for, as before.")
def summed(right, logits, target, alpha=0.1):
    return right(logits, target, alpha) * len(target)


@mistake("label_relaxation", "One number per example comes back. Their mean is asked for.")
def one_each(right, logits, target, alpha=0.1):
    return torch.stack(
        [right(z[None], t[None], alpha) for z, t in zip(logits, target, strict=True)]
    )


@mistake(
    "label_relaxation",
    "The mean is taken over the examples that cost something. Those at 0 count as well.",
)
def mean_of_some(right, logits, target, alpha=0.1):
    each = one_each.spoil(right, logits, target, alpha)
    return each.sum() / (each > 0).sum()


@mistake("label_relaxation", "alpha is always 0.1, whatever is given.")
def fixed(right, logits, target, alpha=0.1):
    return right(logits, target)


@mistake("label_relaxation", "α and 1 − α are exchanged.")
def exchanged(right, logits, target, alpha=0.1):
    return right(logits, target, 1 - alpha)


@mistake(
    "label_relaxation",
    "The part α log(α / (1 − p)) is missing.",
)
def first_part(right, logits, target, alpha=0.1):
    losses = functional.cross_entropy(logits, target, reduction="none")
    border = -torch.tensor(1 - alpha).log()
    return ((1 - alpha) * (losses - border).clamp(min=0)).mean()


@mistake(
    "label_relaxation",
    "Nothing is relaxed: the divergence is also charged where the network is content.",
)
def never_content(right, logits, target, alpha=0.1):
    p = logits.softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)
    first = (1 - alpha) * ((1 - alpha) / p).log()
    return (first + alpha * (alpha / (1 - p)).log()).mean()


@mistake("label_relaxation", "The sign is wrong: this is the negative of the loss.")
def negative(right, logits, target, alpha=0.1):
    return -right(logits, target, alpha)


@mistake("label_relaxation", "No gradient arrives: the result was detached, by .item() or so.")
def detached(right, logits, target, alpha=0.1):
    return right(logits.detach(), target, alpha)
