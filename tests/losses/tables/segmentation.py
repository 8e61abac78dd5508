"""Segmentation: probabilities against masks, and logits against class indices."""

from functools import partial

import torch
from losses.case import Case, Refused

import course_losses as cl

OVERLAP = {"dice": cl.DiceLoss, "jaccard": cl.JaccardLoss}


def binary_mask(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    probs = 0.1 + 0.8 * torch.rand(5, 2, 4, 3, generator=generator, dtype=torch.float64)
    return probs, torch.rand(5, 2, 4, 3, generator=generator) < 0.3


def soft_mask(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    probs, target = 0.1 + 0.8 * torch.rand(2, 5, 7, generator=generator, dtype=torch.float64)
    return probs, target


def class_maps(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = 2 * torch.randn(3, 4, 5, 2, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 3, (3, 5, 2), generator=generator)  # class 3 is absent
    target[0, :2] = -100
    return logits, target


def class_maps_255(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits, target = class_maps(generator)
    return logits, target.where(target >= 0, 255)


def single_pixels(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = torch.randn(7, 3, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 3, (7,), generator=generator)


CASES = [
    *(
        case
        for name, loss in OVERLAP.items()
        for case in [
            Case(name, loss, binary_mask, ()),
            Case(f"{name} soft target", partial(loss, smooth=0.0), soft_mask, ()),
            Case(f"{name} per example", partial(loss, over="example"), binary_mask, (5,)),
        ]
    ),
    Case("multi-class dice", cl.MultiClassDiceLoss, class_maps, (4,)),
    Case(
        "multi-class dice smooth 0, ignore 255",
        partial(cl.MultiClassDiceLoss, smooth=0.0, ignore_index=255),
        class_maps_255,
        (4,),
    ),
    Case("multi-class dice of single pixels", cl.MultiClassDiceLoss, single_pixels, (3,)),
    Case(
        "cross-entropy and dice",
        partial(cl.CrossEntropyDiceLoss, ce_weight=0.3, dice_weight=2.0, smooth=0.5),
        class_maps,
        (3, 5, 2),
        mean_of_values=False,  # "mean" divides by the pixels that are not ignored
    ),
    Case("cross-entropy and dice of single pixels", cl.CrossEntropyDiceLoss, single_pixels, (7,)),
]

half, empty_mask = torch.full((2, 1, 3, 3), 0.5), torch.zeros(2, 1, 3, 3)
logits, labels = torch.zeros(2, 4, 3, 3), torch.zeros(2, 3, 3, dtype=torch.int64)

REFUSED = [
    *(
        row
        for name, loss in OVERLAP.items()
        for row in [
            Refused(
                f"{name}: logits for probabilities",
                lambda loss=loss: loss()(half - 1.5, empty_mask),
                ValueError,
                "probs must be in .0, 1., got values from -1 to -1: did you forget a sigmoid",
            ),
            Refused(
                f"{name}: 8-bit target",
                lambda loss=loss: loss()(half, empty_mask.to(torch.uint8) + 255),
                ValueError,
                "target must be in .0, 1., got values from 255 to 255: divide .* by 255",
            ),
            Refused(
                f"{name}: target of -1",
                lambda loss=loss: loss()(half, empty_mask.int() - 1),
                ValueError,
                "target must be in .0, 1., got values from -1",
            ),
            Refused(
                f"{name}: missing channel",
                lambda loss=loss: loss()(half, empty_mask[:, 0]),
                ValueError,
                r"same shape, got probs \(2, 1, 3, 3\), target \(2, 3, 3\)",
            ),
            Refused(
                f"{name}: integer probabilities",
                lambda loss=loss: loss()(empty_mask.int(), empty_mask),
                TypeError,
                "probs must be floating point, got torch.int32",
            ),
            Refused(
                f"{name}: complex target",
                lambda loss=loss: loss()(half, empty_mask.to(torch.complex64)),
                TypeError,
                "target must be a tensor of booleans, integers or floats, got torch.complex64",
            ),
            Refused(
                f"{name}: list target",
                lambda loss=loss: loss()(half, [0, 1]),
                TypeError,
                "target must be a tensor of booleans, integers or floats, got list",
            ),
            Refused(
                f"{name}: no example",
                lambda loss=loss: loss()(half.sum() / 9, empty_mask.sum()),
                ValueError,
                r"probs must have .* dimensions, got shape \(\)",
            ),
            Refused(
                f"{name}: smooth -1",
                lambda loss=loss: loss(smooth=-1),
                ValueError,
                r"smooth must be in \[0, inf\), got -1",
            ),
            Refused(
                f"{name}: over pixels",
                lambda loss=loss: loss(over="pixel"),
                ValueError,
                "over must be one of 'batch', 'example', got 'pixel'",
            ),
        ]
    ),
    Refused(
        "multi-class dice: one-hot target",
        lambda: cl.MultiClassDiceLoss()(logits, logits),
        TypeError,
        "target must hold",
    ),
    Refused(
        "multi-class dice: target with a channel",
        lambda: cl.MultiClassDiceLoss()(logits, labels[:, None]),
        ValueError,
        r"target must have shape \(2, 3, 3\) beside logits of .*, got \(2, 1, 3, 3\)",
    ),
    Refused(
        "multi-class dice: class 4 of 4",
        lambda: cl.MultiClassDiceLoss()(logits, labels + 4),
        ValueError,
        r"target must be in \[0, 3\], got class 4",
    ),
    Refused(
        "multi-class dice: ignored class of another loss",
        lambda: cl.MultiClassDiceLoss(ignore_index=255)(logits, labels - 100),
        ValueError,
        r"target must be in \[0, 3\], got class -100",
    ),
    Refused(
        "multi-class dice: one channel",
        lambda: cl.MultiClassDiceLoss()(logits[:, :1], labels),
        ValueError,
        r"at least 2 classes, got shape \(2, 1, 3, 3\): for one channel use DiceLoss",
    ),
    Refused(
        "multi-class dice: vector",
        lambda: cl.MultiClassDiceLoss()(logits[0, :, 0, 0], labels[0, 0]),
        ValueError,
        r"logits must have shape \(N, C, ...\), got \(4,\)",
    ),
    Refused(
        "multi-class dice: integer logits",
        lambda: cl.MultiClassDiceLoss()(logits.int(), labels),
        TypeError,
        "logits must be floating point",
    ),
    Refused(
        "multi-class dice: ignore_index 0.5",
        lambda: cl.MultiClassDiceLoss(ignore_index=0.5),
        TypeError,
        "ignore_index must be an integer, got 0.5",
    ),
    Refused(
        "cross-entropy and dice: one channel",
        lambda: cl.CrossEntropyDiceLoss()(logits[:, :1], labels),
        ValueError,
        "logits must have at least 2 classes",
    ),
    *(
        Refused(
            f"cross-entropy and dice: {name} -1",
            lambda name=name: cl.CrossEntropyDiceLoss(**{name: -1}),
            ValueError,
            rf"{name} must be in \[0, inf\), got -1",
        )
        for name in ("ce_weight", "dice_weight", "smooth")
    ),
    Refused(
        "multi-class dice: smooth -1",
        lambda: cl.MultiClassDiceLoss(smooth=-1),
        ValueError,
        r"smooth must be in \[0, inf\), got -1",
    ),
]
