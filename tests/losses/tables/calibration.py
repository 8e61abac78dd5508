"""Calibration: label relaxation on logits, Brier on probabilities, and what the helpers refuse."""

from functools import partial

import torch
from losses.case import Case, Refused

import course_losses as cl


def logits_and_classes(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (7,), generator=generator)
    logits[0, target[0]] += 8  # inside the credal set
    return logits, target


def logit_maps(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = torch.randn(3, 4, 2, 2, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 4, (3, 2, 2), generator=generator)


def probs_and_classes(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits, target = logits_and_classes(generator)
    return logits.softmax(1), target


def prob_maps(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits, target = logit_maps(generator)
    return logits.softmax(1), target


relaxed_more = partial(cl.LabelRelaxationLoss, alpha=0.3)

CASES = [
    Case("label relaxation", cl.LabelRelaxationLoss, logits_and_classes, (7,)),
    Case("label relaxation 0.3", relaxed_more, logits_and_classes, (7,)),
    Case("label relaxation maps", cl.LabelRelaxationLoss, logit_maps, (3, 2, 2)),
    Case("brier", cl.BrierLoss, probs_and_classes, (7,)),
    Case("brier maps", cl.BrierLoss, prob_maps, (3, 2, 2)),
]

logits, classes = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
uniform = torch.full((4, 3), 1 / 3)
right = torch.tensor([[2.0, 0.0, 0.0]] * 4)
pair = torch.tensor([0, 1])
low_sum, high_sum = torch.tensor([[[0.9, 0.6], [0.1, 0.1]], [[0.95, 0.95], [0.5, 0.4]]])
curve = cl.reliability_curve
error = cl.expected_calibration_error


def fit(logits: torch.Tensor, target: torch.Tensor = classes) -> cl.TemperatureScaling:
    return cl.TemperatureScaling().fit(logits, target)


REFUSED = [
    *(
        Refused(
            f"{name}: target (4, 1)",
            lambda call=call: call(classes[:, None]),
            ValueError,
            r"target must have shape \(4,\) beside (logits|probs) of shape \(4, 3\), got \(4, 1\)",
        )
        for name, call in {
            "label relaxation": lambda target: cl.LabelRelaxationLoss()(logits, target),
            "brier": lambda target: cl.BrierLoss()(uniform, target),
            "temperature": lambda target: fit(logits, target),
            "ece": lambda target: error(uniform, target),
            "curve": lambda target: curve(uniform, target),
        }.items()
    ),
    *(
        Refused(
            f"label relaxation alpha {alpha}",
            lambda alpha=alpha: cl.LabelRelaxationLoss(alpha=alpha),
            ValueError,
            rf"alpha must be in \(0, 1\), got {alpha}",
        )
        for alpha in (0, 1, -0.1)
    ),
    *(
        row
        for name, call in {"brier": cl.BrierLoss(), "ece": error, "curve": curve}.items()
        for row in [
            Refused(
                f"{name}: logits",
                lambda call=call: call(3 * right, classes),
                ValueError,
                r"probs must be in \[0, 1\], got values from 0 to 6",
            ),
            Refused(
                f"{name}: sigmoids",
                lambda call=call: call(right.sigmoid(), classes),
                ValueError,
                "probs must sum to 1 over dimension 1, got a sum of 1.881: .* softmax",
            ),
            Refused(
                f"{name}: no examples",
                lambda call=call: call(uniform[:0], classes[:0]),
                ValueError,
                r"probs is empty, got shape \(0, 3\)",
            ),
        ]
    ),
    Refused(
        "no bins", lambda: error(uniform, classes, bins=0), ValueError, "bins must be at least 1"
    ),
    Refused(
        "half a bin", lambda: curve(uniform, classes, bins=0.5), TypeError, "bins must be an int"
    ),
    Refused(
        "temperature of a list", lambda: cl.TemperatureScaling()([1.0]), TypeError, "logits must be"
    ),
    Refused(
        "temperature: integers",
        lambda: cl.TemperatureScaling()(classes),
        TypeError,
        "logits must be floating point",
    ),
    Refused(
        "no held-out data", lambda: fit(logits[:0], classes[:0]), ValueError, "logits is empty"
    ),
    Refused(
        "all right", lambda: fit(right), ValueError, "true class on top everywhere: .* would be 0"
    ),
    Refused(
        "right one time in three",
        lambda: fit(right[:3], torch.tensor([0, 1, 2])),
        ValueError,
        "no such relation",
    ),
    Refused("all wrong", lambda: fit(-right), ValueError, "no such relation: .* would be infinite"),
    Refused("least sum", lambda: error(low_sum, pair), ValueError, "got a sum of 0.2: did you"),
    Refused("largest sum", lambda: error(high_sum, pair), ValueError, "got a sum of 1.9: did you"),
    Refused("infinite logits", lambda: fit(right / 0), ValueError, "logits must be finite"),
    Refused(
        "one infinite",
        lambda: fit(right.where(right != right[0, 1], -torch.inf)),
        ValueError,
        "got inf or nan",
    ),
]
