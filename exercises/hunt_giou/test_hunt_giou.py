"""The rubric of the hunt for GIoU: a box is the same box whichever corner is named first."""

import torch
from torch import Tensor

from course_losses.grading import Case, criterion, gradient, mistake

NEEDS = ["giou_loss"]
X, Y, BOTH = [2, 1, 0, 3], [0, 3, 2, 1], [2, 3, 0, 1]


def boxes(count: int, random: torch.Generator) -> Tensor:
    low = 10 * torch.rand(count, 2, generator=random)
    return torch.cat([low, low + 2 + 6 * torch.rand(count, 2, generator=random)], dim=1)


def valid(random: torch.Generator) -> Case:
    return Case(pred=boxes(6, random).requires_grad_(), target=boxes(6, random))


def inverted(order: list[int], random: torch.Generator) -> Case:
    case = valid(random)
    case.pred = case.pred.detach()[:, order].requires_grad_()
    return case


def twice(random: torch.Generator) -> Case:
    return inverted(BOTH, random)


def once(random: torch.Generator) -> Case:
    case = inverted(X, random)
    other = inverted(Y, random)
    return Case(
        pred=torch.cat([case.pred, other.pred]).detach(),
        target=torch.cat([case.target, other.target]),
    )


def around(random: torch.Generator) -> Case:
    """Inverted boxes around the target: what scored below zero."""
    target = boxes(6, random)
    margin = 1 + 5 * torch.rand(6, 4, generator=random)
    pred = target + margin * torch.tensor([-1.0, -1.0, 1.0, 1.0])
    return Case(pred=pred[:, BOTH], target=target)


def mixed(random: torch.Generator) -> Case:
    case = once(random)
    case.pred = torch.cat([case.pred, boxes(6, random)[:, BOTH]]).requires_grad_()
    case.target = torch.cat([case.target, boxes(6, random)])
    return case


@criterion("A box with both corners exchanged scores as the same box", points=1, cases=twice)
def test_twice(student, case):
    return student.giou_loss(case.pred, case.target)


@criterion(
    "A large inverted box is never better than perfect",
    points=1,
    cases=around,
)
def test_around(student, case):
    value = student.giou_loss(case.pred, case.target)
    if isinstance(value, Tensor):
        assert value.min() > -1e-6, (
            f"A loss of {value.min().item():.3g}. An inverted box has two negative sides, their "
            "product counts as area, and the union outgrows the hull. Order the corners first."
        )
    return value


@criterion("Inverted along one axis: the same box, too", points=1, cases=once)
def test_once(student, case):
    return student.giou_loss(case.pred, case.target)


@criterion(
    "The gradient reaches the corner that it belongs to",
    points=1,
    cases=mixed,
    after="test_twice",
)
def test_gradient(student, case):
    value, (slope,), _ = gradient(student.giou_loss, case.pred, case.target)
    if isinstance(value, Tensor):
        assert slope is not None, "No gradient reaches pred: the result was detached."
    return value, slope


@criterion(
    "Boxes in order score as before, one number for each",
    points=1,
    cases=valid,
    after="test_twice",
)
def test_valid(student, case):
    value = student.giou_loss(case.pred, case.target)
    if isinstance(value, Tensor):
        assert value.shape == (6,), f"The shape is {tuple(value.shape)}; one number per box: (6,)."
    return value


def parts(pred: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """Intersection, both areas and hull as the faulty code takes them."""
    low, high = torch.maximum(pred[:, :2], target[:, :2]), torch.minimum(pred[:, 2:], target[:, 2:])
    inner = (high - low).clamp(min=0).prod(1)
    low, high = torch.minimum(pred[:, :2], target[:, :2]), torch.maximum(pred[:, 2:], target[:, 2:])
    areas = [(box[:, 2:] - box[:, :2]).prod(1) for box in (pred, target)]
    return inner, *areas, (high - low).prod(1)


def from_parts(inner: Tensor, area: Tensor, other: Tensor, hull: Tensor) -> Tensor:
    union = area + other - inner
    return 1 - inner / union + (hull - union) / hull


@mistake(
    "giou_loss",
    "Inverted boxes are taken as they come: two negative sides make a positive area, and none of "
    "it intersects. Order the corners of pred first.",
)
def as_given(right, pred, target):
    return from_parts(*parts(pred, target))


@mistake(
    "giou_loss",
    "The area is made positive, but intersection and hull still see inverted corners. Order the "
    "corners of pred first.",
)
def absolute_area(right, pred, target):
    inner, area, other, hull = parts(pred, target)
    return from_parts(inner, area.abs(), other, hull)


@mistake(
    "giou_loss",
    "An inverted box is taken for one without area. It is the same box, with its corners "
    "exchanged.",
)
def no_area(right, pred, target):
    inner, _, other, hull = parts(pred, target)
    return from_parts(inner, (pred[:, 2:] - pred[:, :2]).clamp(min=0).prod(1), other, hull)


@mistake("giou_loss", "The loss is clamped. Its gradient is 0 there, and the box stays inverted.")
def clamped(right, pred, target):
    return as_given.spoil(right, pred, target).clamp(min=0)


@mistake("giou_loss", "The loss is clamped. Its gradient is 0 there, and the box stays inverted.")
def clamped_twice(right, pred, target):
    return as_given.spoil(right, pred, target).clamp(0, 2)


@mistake("giou_loss", "The corners are ordered along x. Along y they may be inverted as well.")
def only_x(right, pred, target):
    return as_given.spoil(right, torch.where(pred[:, :1] > pred[:, 2:3], pred[:, X], pred), target)


@mistake("giou_loss", "The corners are ordered along y. Along x they may be inverted as well.")
def only_y(right, pred, target):
    return as_given.spoil(right, torch.where(pred[:, 1:2] > pred[:, 3:], pred[:, Y], pred), target)


@mistake(
    "giou_loss",
    "The corners are exchanged only where both axes are inverted. Each axis by itself, please.",
)
def both_or_none(right, pred, target):
    wrong = (pred[:, 2:] < pred[:, :2]).all(1, keepdim=True)
    return as_given.spoil(right, torch.where(wrong, pred[:, BOTH], pred), target)


@mistake("giou_loss", "All four numbers are sorted, which mixes x with y. Order each axis.")
def sorted_all(right, pred, target):
    return right(pred.sort(1).values, target)


@mistake("giou_loss", "This is GIoU itself. The loss is 1 minus it.")
def index(right, pred, target):
    return 1 - right(pred, target)


@mistake("giou_loss", "This is the loss of plain IoU: the hull's part is missing.")
def iou_only(right, pred, target):
    low, high = torch.minimum(pred[:, :2], pred[:, 2:]), torch.maximum(pred[:, :2], pred[:, 2:])
    inner, area, other, _ = parts(torch.cat([low, high], 1), target)
    return 1 - inner / (area + other - inner)


@mistake("giou_loss", "One number comes back, the mean. One for each box is asked for.")
def averaged(right, pred, target):
    return right(pred, target).mean()


@mistake("giou_loss", "No gradient arrives: pred, or the result, was detached.")
def detached(right, pred, target):
    return right(pred.detach(), target)
