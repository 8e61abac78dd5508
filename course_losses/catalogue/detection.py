"""The cards of the losses for boxes."""

from typing import Any

import torch
from torch import Generator, Tensor

from course_losses import detection as losses
from course_losses.catalogue.card import LossCard, Problem, slope


def boxes(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    """Targets of all sizes and shapes; predictions moved and stretched."""
    centre, shift = torch.randn(2, 24, 2, generator=generator, dtype=torch.float64)
    size = torch.exp(2.5 * torch.randn(24, 2, generator=generator, dtype=torch.float64))
    stretch = torch.randn(24, 2, generator=generator, dtype=torch.float64)
    other = size * torch.exp(min(scale, 2.5) * stretch)
    moved = centre + scale * size.mean() * shift
    unit = 10 ** torch.randint(-4, 2, (), generator=generator).double()
    target = torch.cat([centre - size / 2, centre + size / 2], 1)
    return unit * torch.cat([moved - other / 2, moved + other / 2], 1), unit * target


def the_target_itself(loss: Any, generator: Generator) -> Problem:
    _, target = boxes(generator, 1.0)
    others = target[:1] + torch.randn(60, 1, 4, generator=generator)
    return Problem(lambda box: loss(box, target[:1]), target[:1], others)


# ---------------------------------------------------------------- known failures

UNIT = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def blind_to_distance() -> bool:
    """Boxes that do not touch cost 1 at any distance, with gradient 0."""
    near, far = UNIT + 2, UNIT + 200
    costs = [losses.IoULoss()(box, UNIT).item() for box in (near, far)]
    return costs == [1, 1] and not slope(losses.IoULoss(), near, UNIT).any()


def grows_before_it_moves() -> bool:
    """A box to the right of its target is not pushed left: its right side stays where it is."""
    left, right = slope(losses.GIoULoss(), UNIT + torch.tensor([3.0, 0, 3.0, 0]), UNIT)[0, [0, 2]]
    return bool(left > 0 and right.abs() < left)


def one_centre_for_all_shapes() -> bool:
    """Once the centres agree, it is the IoU loss: a flat and a tall box cost the same."""
    flat = torch.tensor([[-1.5, 0.25, 2.5, 0.75]])
    tall = flat[:, [1, 0, 3, 2]]
    loss = losses.DIoULoss()
    plain = losses.IoULoss()
    return bool(loss(flat, UNIT) == loss(tall, UNIT) == plain(flat, UNIT))


def no_slope_of_its_value() -> bool:
    """Its weight alpha is detached: the gradient is not the slope, and a gradient check fails."""
    from course_losses.checking import check_gradients

    return not check_gradients(losses.CIoULoss(), UNIT + torch.tensor([0.1, 0.2, 0.9, 0.3]), UNIT)


def card(loss: type[losses.BoxLoss], **facts: Any) -> LossCard:
    return LossCard(
        loss=loss,
        domain="corners (x1, y1, x2, y2), in any order",
        minimiser="the target box",
        convex=False,
        gradient_bound="inf",
        activation="none",
        torch=None,
        inputs=boxes,
        problem=the_target_itself,
        **facts,
    )


CARDS = [
    card(
        losses.IoULoss,
        formula=r"1 - \mathrm{IoU}",
        range=("0", "1"),
        use="refining boxes that already overlap their targets",
        avoid="boxes that may miss their targets: they get no gradient",
        failure=blind_to_distance,
    ),
    card(
        losses.GIoULoss,
        formula=r"1 - \mathrm{IoU} + \frac{|C| - |A \cup B|}{|C|}",
        range=("0", "2"),
        use="boxes that may miss their targets at first",
        avoid="slow starts: far boxes grow towards the target before they move",
        failure=grows_before_it_moves,
    ),
    card(
        losses.DIoULoss,
        formula=r"1 - \mathrm{IoU} + \rho^2 / c^2",
        range=("0", "2"),
        use="boxes whose centres should agree, even when one lies inside the other",
        avoid="when the shape of the box matters more than its place",
        failure=one_centre_for_all_shapes,
    ),
    card(
        losses.CIoULoss,
        formula=r"1 - \mathrm{IoU} + \rho^2 / c^2 + \alpha v",
        range=("0", "2.5"),
        use="boxes whose place and shape should both fit",
        avoid="anything that relies on the gradient being that of the value",
        failure=no_slope_of_its_value,
    ),
]
