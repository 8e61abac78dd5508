"""The cards of the losses for masks."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from course_losses import segmentation as losses
from course_losses.catalogue.card import LossCard, Problem, slope


def doubts(generator: Generator, scale: float, *shape: int) -> tuple[Tensor, float]:
    """Noise of the given scale, and whether the prediction is right (1), wrong (-1) or neither."""
    noise = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    return noise, torch.randint(-1, 2, (), generator=generator).item()


def masks(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    side = 2 if scale <= 1 else 8
    share = torch.rand((), generator=generator) * torch.randint(2, (), generator=generator)
    target = (torch.rand(1, 1, side, side, generator=generator) < share).double()
    noise, quality = doubts(generator, scale, *target.shape)
    return (noise + 5 * scale * quality * (2 * target - 1)).sigmoid(), target


def maps(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    side = 1 if scale <= 1 else 8
    target = torch.randint(4, (1, side, side), generator=generator)
    noise, quality = doubts(generator, scale, 1, 4, side, side)
    right = F.one_hot(target, 4).movedim(-1, 1).double()
    return noise + 5 * scale * quality * right, target


def the_mask_itself(loss: Any, generator: Generator) -> Problem:
    target = (torch.rand(1, 1, 6, 6, generator=generator) < 0.3).double()
    others = torch.rand(60, *target.shape, generator=generator)
    return Problem(lambda probs: loss(probs, target), target, others, lambda p: p.clamp(0, 1))


def the_map_itself(loss: Any, generator: Generator) -> Problem:
    target = torch.randint(4, (1, 5, 5), generator=generator)
    best = 40 * F.one_hot(target, 4).movedim(-1, 1).double()
    others = 3 * torch.randn(90, *best.shape, generator=generator)
    return Problem(lambda logits: loss(logits, target), best, others)


# ---------------------------------------------------------------- known failures


def one_pixel_or_nothing() -> bool:
    """With smooth=0, one pixel of 1e-6 on an empty mask costs 1, as much as a full picture does."""
    probs, target = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    full = losses.DiceLoss(smooth=0)(torch.ones(1, 8, 8), target)
    probs[0, 0, 0] = 1e-6
    return bool(losses.DiceLoss(smooth=0)(probs, target) == 1 == full)


def no_overlap_no_push() -> bool:
    """Where nothing overlaps yet and smooth=0, no background pixel is pushed down."""
    probs = torch.tensor([[0.0, 0.9, 0.4]])
    gradient = slope(losses.JaccardLoss(smooth=0), probs, torch.tensor([[1.0, 0.0, 0.0]]))
    return gradient[0, 0].item() < 0 and not gradient[0, 1:].any()


def absent_classes_count() -> bool:
    """A map that is right with 0.9993 costs 0.24 when 2 of its 4 classes do not occur."""
    p = 0.9993
    target = (torch.arange(4096) < 2048).long().view(1, 64, 64)
    right = F.one_hot(target, 4).movedim(-1, 1)
    logits = (right * p + (1 - right) * (1 - p) / 3).double().log()
    return abs(float(losses.MultiClassDiceLoss()(logits, target)) - 0.24) < 0.005


def two_scales() -> bool:
    """At equal weights cross-entropy may be 20 times as large as Dice, which cannot exceed 1."""
    target = torch.zeros(1, 4, 4, dtype=torch.long)
    logits = torch.zeros(1, 2, 4, 4)
    logits[:, 1] = 20.0
    cross_entropy = losses.CrossEntropyDiceLoss(1.0, 0.0)(logits, target)
    dice = losses.CrossEntropyDiceLoss(0.0, 1.0)(logits, target)
    return bool(cross_entropy > 20 * dice)


CARDS = [
    LossCard(
        loss=losses.DiceLoss,
        formula=r"1 - \frac{2 \sum p t + s}{\sum p + \sum t + s}",
        domain="probabilities in [0, 1]",
        range=("0", "1"),
        minimiser="the mask itself",
        convex=False,
        gradient_bound="1 / smooth",
        activation="sigmoid",
        torch=None,
        use="small objects on a large background",
        avoid="probabilities that should be calibrated, and empty masks without smooth",
        failure=one_pixel_or_nothing,
        inputs=masks,
        problem=the_mask_itself,
        examples=({}, {"smooth": 0.1}),
    ),
    LossCard(
        loss=losses.JaccardLoss,
        formula=r"1 - \frac{\sum p t + s}{\sum p + \sum t - \sum p t + s}",
        domain="probabilities in [0, 1]",
        range=("0", "1"),
        minimiser="the mask itself",
        convex=False,
        gradient_bound="1 / smooth",
        activation="sigmoid",
        torch=None,
        use="when intersection over union is what counts in the end",
        avoid="the start of training, when nothing overlaps yet",
        failure=no_overlap_no_push,
        inputs=masks,
        problem=the_mask_itself,
        examples=({}, {"smooth": 0.1}),
    ),
    LossCard(
        loss=losses.MultiClassDiceLoss,
        formula=r"1 - \frac{2 \sum_i p_{ic} t_{ic} + s}{\sum_i p_{ic} + \sum_i t_{ic} + s}",
        domain="any real numbers (logits)",
        range=("0", "1"),
        minimiser="the map itself, with logits that are far apart",
        convex=False,
        gradient_bound="1 / 4",
        activation="none",
        torch=None,
        use="maps whose rare classes should count as much as the common ones",
        avoid="batches in which most classes do not occur",
        failure=absent_classes_count,
        inputs=maps,
        problem=the_map_itself,
    ),
    LossCard(
        loss=losses.CrossEntropyDiceLoss,
        formula=r"w_{CE} \, \mathrm{CE} + w_D \, \mathrm{Dice}",
        domain="any real numbers (logits)",
        range=("0", "inf"),
        minimiser="the map itself, with logits that are far apart",
        convex=False,
        gradient_bound="ce_weight + dice_weight / 4",
        activation="none",
        torch=None,
        use="the default for maps: a gradient at every pixel, and small classes count",
        avoid="comparing its value between data sets: it mixes two scales",
        failure=two_scales,
        inputs=maps,
        problem=the_map_itself,
        examples=({}, {"ce_weight": 0.2, "dice_weight": 1.0}),
    ),
]
