"""Detection: predicted boxes beside target boxes, a row each."""

import torch
from losses.case import Case, Refused

import course_losses as cl

BOXES = {"iou": cl.IoULoss, "giou": cl.GIoULoss, "diou": cl.DIoULoss, "ciou": cl.CIoULoss}
# CIoU detaches alpha on purpose, so finite differences see another slope than autograd.
DETACHED = {"ciou"}


def boxes(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Seven pairs: overlapping, apart, one inside the other, corners of a prediction swapped."""
    corner, size = torch.rand(2, 7, 2, generator=generator, dtype=torch.float64)
    target = torch.cat([corner, corner + 0.2 + size], dim=1)
    move = 0.3 * torch.randn(7, 4, generator=generator, dtype=torch.float64)
    move[5] += 4.0
    pred = target + move
    pred[6] = torch.cat([target[6, 2:] - 0.03, target[6, :2] + 0.05])
    return pred, target


CASES = [
    Case(
        name,
        loss,
        boxes,
        (7,),
        gradcheck=name not in DETACHED,
        twice=name not in DETACHED,
        empty=None,
    )
    for name, loss in BOXES.items()
]

good = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 2.0, 1.0]])
flipped = good[:, [2, 1, 0, 3]]
upside_down = good[:, [0, 3, 2, 1]]

REFUSED = [
    *(
        row
        for name, loss in BOXES.items()
        for row in [
            Refused(
                f"{name}: a single box",
                lambda loss=loss: loss()(good[0], good[0]),
                ValueError,
                r"pred_boxes must have shape \(N, 4\), .*, got \(4,\)",
            ),
            Refused(
                f"{name}: two against one",
                lambda loss=loss: loss()(good, good[:1]),
                ValueError,
                r"same shape, got pred_boxes \(2, 4\), target_boxes \(1, 4\)",
            ),
            Refused(
                f"{name}: centre and size only",
                lambda loss=loss: loss()(good, good[:, :3]),
                ValueError,
                r"target_boxes must have shape \(N, 4\), .*, got \(2, 3\)",
            ),
            Refused(
                f"{name}: inverted target",
                lambda loss=loss: loss()(good, torch.cat([good[:1], flipped[1:]])),
                ValueError,
                r"target_boxes must have x1 <= x2 and y1 <= y2, got \(2, 0, 0, 1\) in row 1: order",
            ),
            Refused(
                f"{name}: target upside down",
                lambda loss=loss: loss()(good, upside_down),
                ValueError,
                r"got \(0, 1, 1, 0\) in row 0",
            ),
            Refused(
                f"{name}: integer target",
                lambda loss=loss: loss()(good, good.long()),
                TypeError,
                "target_boxes must be floating point, got torch.int64",
            ),
        ]
    ),
    *(
        row
        for function in (cl.box_iou, cl.generalized_box_iou)
        for row in [
            Refused(
                f"{function.__name__}: x2 < x1 in the first",
                lambda function=function: function(flipped, good),
                ValueError,
                r"boxes_a must have x1 <= x2 and y1 <= y2, got \(1, 0, 0, 1\) in row 0",
            ),
            Refused(
                f"{function.__name__}: y2 < y1 in the second",
                lambda function=function: function(good, upside_down),
                ValueError,
                r"boxes_b must have x1 <= x2 and y1 <= y2, got \(0, 1, 1, 0\) in row 0",
            ),
            Refused(
                f"{function.__name__}: nan",
                lambda function=function: function(good, good * float("nan")),
                ValueError,
                r"boxes_b must have .*, got \(nan, nan, nan, nan\) in row 0",
            ),
            Refused(
                f"{function.__name__}: every box against every other",
                lambda function=function: function(good, good[:1]),
                ValueError,
                r"same shape, got boxes_a \(2, 4\), boxes_b \(1, 4\)",
            ),
        ]
    ),
]
