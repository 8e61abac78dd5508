"""Classification: yes or no per element, and one class index per position."""

from functools import partial

import torch
from losses.case import Case, Refused

import course_losses as cl

RARE = torch.tensor([0.5, 2.0, 1.0, 4.0], dtype=torch.float64)
PER_LABEL = torch.tensor([0.5, 3.0], dtype=torch.float64)


def answers(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = 2 * torch.randn(7, 2, generator=generator, dtype=torch.float64)
    return logits, (torch.rand(7, 2, generator=generator) < 0.4).double()


def soft_answers(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits, _ = answers(generator)
    return logits, torch.rand(7, 2, generator=generator, dtype=torch.float64)


def probabilities(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits, target = soft_answers(generator)
    return logits.sigmoid(), target


def classes(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = 2 * torch.randn(7, 4, generator=generator, dtype=torch.float64)
    return logits, torch.tensor([0, 3, 1, 1, 2, 3, 3])


def pixels(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = 2 * torch.randn(3, 4, 2, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (3, 2, 5), generator=generator)
    target[0, 0] = target[2, 1, 3] = -100
    return logits, target


def log_probabilities(inputs, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits, target = inputs(generator)
    return logits.log_softmax(1), target


BINARY = {
    "bce": (cl.BCELoss, probabilities),
    "bce with logits": (cl.BCEWithLogitsLoss, soft_answers),
    "bce with logits weighted": (partial(cl.BCEWithLogitsLoss, pos_weight=PER_LABEL), answers),
    "binary focal": (cl.BinaryFocalLoss, answers),
    "binary focal unbalanced": (partial(cl.BinaryFocalLoss, alpha=None, gamma=0.5), answers),
}
INDEXED = {
    "nll": (cl.NLLLoss, partial(log_probabilities, classes), (7,), True),
    "nll pixels": (cl.NLLLoss, partial(log_probabilities, pixels), (3, 2, 5), False),
    "nll weighted": (
        partial(cl.NLLLoss, weight=RARE),
        partial(log_probabilities, classes),
        (7,),
        False,
    ),
    "cross-entropy": (cl.CrossEntropyLoss, classes, (7,), True),
    "cross-entropy pixels": (cl.CrossEntropyLoss, pixels, (3, 2, 5), False),
    "cross-entropy weighted": (partial(cl.CrossEntropyLoss, weight=RARE), pixels, (3, 2, 5), False),
    "label smoothing": (cl.LabelSmoothingCrossEntropy, classes, (7,), True),
    "label smoothing pixels": (
        partial(cl.LabelSmoothingCrossEntropy, epsilon=0.3),
        pixels,
        (3, 2, 5),
        False,
    ),
    "focal": (cl.FocalLoss, classes, (7,), True),
    "focal pixels": (partial(cl.FocalLoss, gamma=0.5), pixels, (3, 2, 5), False),
    "focal weighted": (partial(cl.FocalLoss, weight=RARE), classes, (7,), True),
}

CASES = [
    *(Case(name, loss, inputs, (7, 2)) for name, (loss, inputs) in BINARY.items()),
    *(
        Case(name, loss, inputs, shape, mean_of_values=plain)
        for name, (loss, inputs, shape, plain) in INDEXED.items()
    ),
]

four, column, half = torch.zeros(4), torch.zeros(4, 1), torch.full((4,), 0.5)
scores, target = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)
one_hot = torch.eye(3)[target]

BINARY_CLASSES = {
    "bce": (cl.BCELoss, "probs"),
    "bce with logits": (cl.BCEWithLogitsLoss, "logits"),
    "binary focal": (cl.BinaryFocalLoss, "logits"),
}
INDEX_CLASSES = {
    "nll": (cl.NLLLoss, "log_probs"),
    "cross-entropy": (cl.CrossEntropyLoss, "logits"),
    "label smoothing": (cl.LabelSmoothingCrossEntropy, "logits"),
    "focal": (cl.FocalLoss, "logits"),
}
WEIGHTED = {
    name: loss for name, (loss, _) in INDEX_CLASSES.items() if loss != cl.LabelSmoothingCrossEntropy
}

REFUSED = [
    *(
        row
        for name, (loss, first) in BINARY_CLASSES.items()
        for row in [
            Refused(
                f"{name}: (4,) against (4, 1)",
                lambda loss=loss: loss()(four, column),
                ValueError,
                rf"got {first} \(4,\), target \(4, 1\)",
            ),
            Refused(
                f"{name}: integer target",
                lambda loss=loss: loss()(four, target),
                TypeError,
                r"target must be floating point, got torch.int64",
            ),
            Refused(
                f"{name}: boolean target",
                lambda loss=loss: loss()(four, target == 0),
                TypeError,
                r"target must be floating point, got torch.bool",
            ),
            Refused(
                f"{name}: integer {first}",
                lambda loss=loss: loss()(target, four),
                TypeError,
                f"{first} must be floating point, got torch.int64",
            ),
            Refused(
                f"{name}: target 2",
                lambda loss=loss: loss()(four, four + 2),
                ValueError,
                "target must be",
            ),
            Refused(
                f"{name}: target nan",
                lambda loss=loss: loss()(four, four * float("nan")),
                ValueError,
                "target must be .* nan",
            ),
        ]
    ),
    Refused(
        "bce on logits",
        lambda: cl.BCELoss()(torch.tensor([-2.0, 0.3, 1.5, 0.0]), four),
        ValueError,
        r"probs must be in \[0, 1\], got values from -2 to 1.5: did you forget a sigmoid",
    ),
    Refused(
        "bce on a logit above 1 alone",
        lambda: cl.BCELoss()(four + 1.5, four),
        ValueError,
        "did you forget a sigmoid",
    ),
    Refused(
        "pos_weight 0",
        lambda: cl.BCEWithLogitsLoss(pos_weight=0),
        ValueError,
        r"pos_weight must be in \(0, inf\), got 0",
    ),
    Refused(
        "pos_weight with a negative value",
        lambda: cl.BCEWithLogitsLoss(pos_weight=torch.tensor([1.0, -2.0])),
        ValueError,
        r"pos_weight must be in \(0, inf\), got -2",
    ),
    Refused(
        "pos_weight of integers",
        lambda: cl.BCEWithLogitsLoss(pos_weight=torch.tensor([1, 2])),
        TypeError,
        "pos_weight must be floating point",
    ),
    Refused(
        "pos_weight per example",
        lambda: cl.BCEWithLogitsLoss(pos_weight=torch.ones(4))(four, four),
        ValueError,
        r"pos_weight must hold one value, or one for each entry of logits\[0\] of shape \(\)",
    ),
    Refused(
        "pos_weight of another length",
        lambda: cl.BCEWithLogitsLoss(pos_weight=torch.ones(2))(scores, scores),
        ValueError,
        r"entry of logits\[0\] of shape \(3,\), got shape \(2,\)",
    ),
    Refused(
        "pos_weight along the wrong dimension",
        lambda: cl.BCEWithLogitsLoss(pos_weight=torch.ones(3))(
            torch.zeros(2, 3, 3), torch.zeros(2, 3, 3)
        ),
        ValueError,
        r"entry of logits\[0\] of shape \(3, 3\), got shape \(3,\)",
    ),
    Refused(
        "binary focal: soft target",
        lambda: cl.BinaryFocalLoss()(four, half),
        ValueError,
        "target must be 0 or 1, got 0.5",
    ),
    Refused(
        "binary focal: alpha",
        lambda: cl.BinaryFocalLoss(alpha=1.5),
        ValueError,
        r"alpha must be in \[0, 1\], got 1.5",
    ),
    *(
        Refused(
            f"{name}: gamma",
            lambda loss=loss: loss(gamma=-1),
            ValueError,
            r"gamma must be in \[0, inf\), got -1",
        )
        for name, loss in {"focal": cl.FocalLoss, "binary focal": cl.BinaryFocalLoss}.items()
    ),
    *(
        row
        for name, (loss, first) in INDEX_CLASSES.items()
        for row in [
            Refused(
                f"{name}: soft target",
                lambda loss=loss: loss()(scores, one_hot),
                TypeError,
                r"one class index per position, shape \(4,\), got \(4, 3\) like "
                rf"{first}: pass target.argmax\(dim=1\) if it is one-hot",
            ),
            Refused(
                f"{name}: integer one-hot target",
                lambda loss=loss: loss()(scores, one_hot.long()),
                ValueError,
                r"pass target.argmax\(dim=1\) if it is one-hot",
            ),
            Refused(
                f"{name}: float indices",
                lambda loss=loss: loss()(scores, four),
                TypeError,
                r"target must hold integer class indices, got torch.float32: .*target.long",
            ),
            Refused(
                f"{name}: boolean target",
                lambda loss=loss: loss()(scores, target == 0),
                TypeError,
                "target must hold integer class indices, got torch.bool",
            ),
            Refused(
                f"{name}: target (4, 1)",
                lambda loss=loss: loss()(scores, target[:, None]),
                ValueError,
                rf"target must have shape \(4,\) beside {first} of shape \(4, 3\), got \(4, 1\)",
            ),
            Refused(
                f"{name}: class 3 of 3",
                lambda loss=loss: loss()(scores, target + 3),
                ValueError,
                r"target must be in \[0, 2\], got class 3",
            ),
            Refused(
                f"{name}: class -1",
                lambda loss=loss: loss()(scores, target - 1),
                ValueError,
                r"target must be in \[0, 2\], got class -1",
            ),
            Refused(
                f"{name}: class 156 in uint8, which is -100 modulo 256",
                lambda loss=loss: loss()(scores, (target + 156).to(torch.uint8)),
                ValueError,
                r"target must be in \[0, 2\], got class 156",
            ),
            Refused(
                f"{name}: no class dimension",
                lambda loss=loss: loss()(four, target),
                ValueError,
                rf"{first} must have shape \(N, C, ...\), got \(4,\)",
            ),
            Refused(
                f"{name}: integer {first}",
                lambda loss=loss: loss()(scores.long(), target),
                TypeError,
                f"{first} must be floating point",
            ),
            Refused(
                f"{name}: list as target",
                lambda loss=loss: loss()(scores, [0, 1, 2, 0]),
                TypeError,
                "target must be a torch.Tensor, got list",
            ),
            Refused(
                f"{name}: ignore_index",
                lambda loss=loss: loss(ignore_index=0.5),
                TypeError,
                "ignore_index must be an integer, got 0.5",
            ),
        ]
    ),
    *(
        row
        for name, loss in WEIGHTED.items()
        for row in [
            Refused(
                f"{name}: negative weight",
                lambda loss=loss: loss(weight=torch.tensor([1.0, -0.5, 1.0])),
                ValueError,
                r"weight must be in \[0, inf\), got -0.5",
            ),
            Refused(
                f"{name}: infinite weight",
                lambda loss=loss: loss(weight=torch.tensor([1.0, float("inf"), 1.0])),
                ValueError,
                r"weight must be in \[0, inf\), got inf",
            ),
            Refused(
                f"{name}: two weights for three classes",
                lambda loss=loss: loss(weight=torch.ones(2))(scores, target),
                ValueError,
                "weight must hold one value per class: .* has 3 classes, weight 2 values",
            ),
            Refused(
                f"{name}: integer weights",
                lambda loss=loss: loss(weight=torch.tensor([1, 2, 3])),
                TypeError,
                "weight must be floating point, got torch.int64",
            ),
            Refused(
                f"{name}: list of weights",
                lambda loss=loss: loss(weight=[1.0, 2.0, 3.0]),
                TypeError,
                "weight must be a torch.Tensor, got list",
            ),
            Refused(
                f"{name}: no weights",
                lambda loss=loss: loss(weight=torch.ones(0)),
                ValueError,
                "weight is empty",
            ),
            Refused(
                f"{name}: matrix of weights",
                lambda loss=loss: loss(weight=torch.ones(3, 1)),
                ValueError,
                r"weight must have 1 dimensions, got shape \(3, 1\)",
            ),
        ]
    ),
    Refused(
        "nll of logits",
        lambda: cl.NLLLoss()(scores + 2.5, target),
        ValueError,
        r"log_probs must be at most 0, got 2.5: pass log_softmax\(logits, dim=1\)",
    ),
    Refused(
        "nll of one positive number",
        lambda: cl.NLLLoss()(scores - torch.eye(*scores.shape) * -0.5 - 0.25, target),
        ValueError,
        "log_probs must be at most 0, got 0.25",
    ),
    Refused(
        "nll of probabilities",
        lambda: cl.NLLLoss()(scores.softmax(1), target),
        ValueError,
        "log_probs must be at most 0, got 0.3333",
    ),
    *(
        Refused(
            f"label smoothing of {epsilon}",
            lambda epsilon=epsilon: cl.LabelSmoothingCrossEntropy(epsilon=epsilon),
            ValueError,
            rf"epsilon must be in \[0, 1\], got {epsilon}",
        )
        for epsilon in (-0.1, 1.1)
    ),
]
