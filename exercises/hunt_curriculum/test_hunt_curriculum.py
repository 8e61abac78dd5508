"""The rubric of the hunt for the curriculum: first epoch, last epoch, mean, empty batch."""

import torch
from torch import Tensor

from course_losses.grading import Case, criterion, gradient, mistake

NEEDS = ["curriculum_loss"]


def batch(random: torch.Generator, count: int = 12) -> Case:
    """Difficulties from 1/24 to 1, the hardest with the largest loss."""
    order = torch.randperm(count, generator=random)
    difficulty = (order + 0.5) / count
    difficulty[order == count - 1] = 1.0
    losses = (0.5 + torch.rand(count, generator=random) + order).requires_grad_()
    return Case(losses=losses, difficulty=difficulty, epoch=4, total_epochs=9, start=0.3)


def first_epoch(random: torch.Generator) -> Case:
    case = batch(random)
    case.epoch, case.start = 0, 0.05  # one example is that easy
    return case


def last_epoch(random: torch.Generator) -> Case:
    case = batch(random)
    case.epoch = 8
    return case


def middle(random: torch.Generator) -> Case:
    case = batch(random, count=int(torch.randint(6, 20, (), generator=random)))
    case.epoch = int(torch.randint(2, 7, (), generator=random))
    case.start = round(0.11 + 0.2 * torch.rand((), generator=random).item(), 3)
    return case


def nobody(random: torch.Generator) -> Case:
    case = first_epoch(random)
    case.difficulty = 0.6 + 0.4 * case.difficulty
    return case


def asked(student, case):
    return student.curriculum_loss(
        case.losses, case.difficulty, case.epoch, case.total_epochs, start=case.start
    )


@criterion("The first epoch has the examples up to start", points=1, cases=first_epoch)
def test_first(student, case):
    return asked(student, case)


@criterion("The last epoch has all, difficulty 1 included", points=1, cases=last_epoch)
def test_last(student, case):
    return asked(student, case)


@criterion("Between, it is the mean over the admitted", points=1, cases=middle)
def test_mean(student, case):
    return asked(student, case)


@criterion(
    "The gradient reaches the admitted, and only them; the default of start is 0.2",
    points=1,
    cases=middle,
    after="test_mean",
)
def test_gradient(student, case):
    value, (slope,), _ = gradient(
        student.curriculum_loss, case.losses, case.difficulty, case.epoch, case.total_epochs
    )
    if isinstance(value, Tensor):
        assert slope is not None, "No gradient arrives: the result was detached."
    return value, slope


@criterion(
    "Nobody admitted: 0, with gradients of 0",
    points=1,
    cases=nobody,
    count=1,
    after="test_mean",
)
def test_nobody(student, case):
    value, (slope,), _ = gradient(
        student.curriculum_loss,
        case.losses,
        case.difficulty,
        case.epoch,
        case.total_epochs,
        start=case.start,
    )
    if isinstance(value, Tensor):
        assert torch.isfinite(value).all(), "NaN: the mean over nobody is 0 / 0."
    assert slope is not None, (
        "The 0 is not connected to the losses: backward() on it fails. Multiply the losses by "
        "zeros instead of returning a new number."
    )
    return value, slope


def with_threshold(losses: Tensor, difficulty: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """The admitted as zeros and ones, and the sum of their losses."""
    admitted = (difficulty <= threshold).to(losses)
    return admitted, (admitted * losses).sum()


@mistake(
    "curriculum_loss",
    "The threshold starts at 0, so the first epoch sees nobody; it ends below 1; and the weights "
    "add up to N where those of a mean add up to 1.",
)
def as_given(right, losses, difficulty, epoch, total_epochs, start=0.2):
    admitted, total = with_threshold(losses, difficulty, epoch / total_epochs)
    return total / admitted.mean().clamp(min=1e-8)


@mistake(
    "curriculum_loss",
    "This is N times too large: dividing by the mean of the mask makes weights that add up to N. "
    "Divide by the mask's sum.",
)
def times_count(right, losses, difficulty, epoch, total_epochs, start=0.2):
    return len(losses) * right(losses, difficulty, epoch, total_epochs, start)


@mistake(
    "curriculum_loss",
    "The threshold starts at 0 instead of start: the first epoch sees nobody.",
)
def no_start(right, losses, difficulty, epoch, total_epochs, start=0.2):
    return right(losses, difficulty, epoch, total_epochs, 0.0)


@mistake(
    "curriculum_loss",
    "The threshold is epoch / total_epochs: 0 in the first epoch, and below 1 in the last.",
)
def given_threshold(right, losses, difficulty, epoch, total_epochs, start=0.2):
    admitted, total = with_threshold(losses, difficulty, epoch / total_epochs)
    return total / admitted.sum().clamp(min=1)


@mistake(
    "curriculum_loss",
    "The last epoch still lacks the hardest: its number is total_epochs − 1, so divide by that.",
)
def never_ends(right, losses, difficulty, epoch, total_epochs, start=0.2):
    return right(losses, difficulty, epoch, total_epochs + 1, start)


@mistake("curriculum_loss", "start is always 0.2, whatever is given.")
def fixed_start(right, losses, difficulty, epoch, total_epochs, start=0.2):
    return right(losses, difficulty, epoch, total_epochs)


@mistake("curriculum_loss", "The sum over the admitted. Their mean is asked for.")
def summed(right, losses, difficulty, epoch, total_epochs, start=0.2):
    mean = right(losses, difficulty, epoch, total_epochs, start)
    (slope,) = torch.autograd.grad(mean, losses, retain_graph=True)
    return mean * (slope != 0).sum()


@mistake(
    "curriculum_loss",
    "The sum over the admitted is divided by all N. Divide by the number of the admitted.",
)
def over_all(right, losses, difficulty, epoch, total_epochs, start=0.2):
    return summed.spoil(right, losses, difficulty, epoch, total_epochs, start) / len(losses)


@mistake("curriculum_loss", "Everybody is admitted, in every epoch.")
def everybody(right, losses, difficulty, epoch, total_epochs, start=0.2):
    return losses.mean()


@mistake("curriculum_loss", "The hard ones are admitted and the easy ones left out.")
def hard_first(right, losses, difficulty, epoch, total_epochs, start=0.2):
    mean = right(losses, difficulty, epoch, total_epochs, start)
    (slope,) = torch.autograd.grad(mean, losses)
    return losses[slope == 0].mean()


@mistake(
    "curriculum_loss", "No gradient arrives: the result was detached, by .item() or .detach()."
)
def detached(right, losses, difficulty, epoch, total_epochs, start=0.2):
    return right(losses.detach(), difficulty, epoch, total_epochs, start)
