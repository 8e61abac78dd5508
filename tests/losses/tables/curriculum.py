"""Curriculum: predictions, targets and a difficulty for each example."""

from functools import partial

import torch
from losses.case import Case, Refused
from torch import nn

import course_losses as cl


def classes_with_difficulty(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (7,), generator=generator)
    return logits, target, torch.tensor([0.1, 0.9, 0.3, 0.6, 0.15, 0.95, 0.05], dtype=torch.float64)


def values_with_difficulty(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    pred, target = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    return pred, target, torch.linspace(0.05, 0.95, 7, dtype=torch.float64)


of_classes = partial(cl.CurriculumLoss, nn.CrossEntropyLoss(), 5)
of_values = partial(cl.CurriculumLoss, cl.MSELoss(), 5, start=0.55)
in_last_epoch = partial(cl.CurriculumLoss, nn.MSELoss(), 1)

# "mean" divides by the examples that are admitted, so it is not the mean of all values
CASES = [
    Case("curriculum", of_classes, classes_with_difficulty, (7,), mean_of_values=False),
    Case("curriculum mse", of_values, values_with_difficulty, (7,), mean_of_values=False),
    Case("curriculum, one epoch", in_last_epoch, values_with_difficulty, (7,)),
]

logits, classes, easy = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), torch.zeros(4)
column = torch.zeros(4, 1)

REFUSED = [
    Refused(
        "curriculum: function as base",
        lambda: cl.CurriculumLoss(torch.nn.functional.mse_loss, 5),
        TypeError,
        "base must be a loss module with a reduction",
    ),
    Refused(
        "curriculum: no epochs",
        lambda: cl.CurriculumLoss(nn.MSELoss(), 0),
        ValueError,
        "total_epochs must be at least 1, got 0",
    ),
    Refused(
        "curriculum: start 2",
        lambda: cl.CurriculumLoss(nn.MSELoss(), 5, start=2),
        ValueError,
        r"start must be in \[0, 1\], got 2",
    ),
    Refused(
        "curriculum: difficulty 0 to 1.5",
        lambda: of_classes()(logits, classes, torch.arange(4.0) / 2),
        ValueError,
        r"difficulty must be in \[0, 1\], got values from 0 to 1.5: divide by the largest",
    ),
    Refused(
        "curriculum: negative difficulty",
        lambda: of_classes()(logits, classes, easy - 0.5),
        ValueError,
        r"difficulty must be in \[0, 1\], got values from -0.5",
    ),
    Refused(
        "curriculum: difficulty nan",
        lambda: of_classes()(logits, classes, easy * float("nan")),
        ValueError,
        r"difficulty must be in \[0, 1\], got values from nan",
    ),
    Refused(
        "curriculum: difficulty (4, 1)",
        lambda: of_classes()(logits, classes, column),
        ValueError,
        r"difficulty must have shape \(4,\), one value for each example, got \(4, 1\)",
    ),
    Refused(
        "curriculum: integer difficulty",
        lambda: of_classes()(logits, classes, classes),
        TypeError,
        "difficulty must be floating point",
    ),
    Refused(
        "curriculum: (4, 1) against (4,)",
        lambda: cl.CurriculumLoss(nn.MSELoss(), 5)(column, easy, easy),
        ValueError,
        r"pred and target must fit, got pred \(4, 1\), target \(4,\)",
    ),
    Refused(
        "curriculum: loss of a set",
        lambda: cl.CurriculumLoss(cl.DiceLoss(), 5)(logits + 0.5, logits, easy),
        ValueError,
        r"base must give a value for each of 4 examples .*, got shape \(\)",
    ),
]
