"""Losses for boxes (x1, y1, x2, y2): how much two boxes overlap, and how far apart they are."""

import math

import torch
from torch import Tensor

from course_losses.checks import _hidden, floating, same_shape
from course_losses.loss import Loss, in_float32


class Pairs:
    """Boxes a and b, row by row, their corners in order, and what the losses measure of them.

    Lengths are (2, N), x above y, in units of the longer side of the box around both: then no
    area can overflow or vanish.
    """

    def __init__(self, low_a: Tensor, high_a: Tensor, low_b: Tensor, high_b: Tensor) -> None:
        with torch.no_grad():
            around = torch.maximum(high_a, high_b) - torch.minimum(low_a, low_b)
            scale = nonzero(around.amax(0)).reciprocal()
        overlap = high_a.where(high_a < high_b, high_b) - low_a.where(low_a > low_b, low_b)
        self.size_a, self.size_b = (high_a - low_a) * scale, (high_b - low_b) * scale
        self.move_low, self.move_high = (low_b - low_a) * scale, (high_b - high_a) * scale
        intersection = area((overlap * scale).clamp(min=0))
        self.union = area(self.size_a) + area(self.size_b) - intersection
        equal = (low_a == low_b).all(0) & (high_a == high_b).all(0)
        self.iou = torch.where(
            self.union > 0, intersection / nonzero(self.union), equal.to(intersection)
        )

    def around(self) -> Tensor:
        """Width and height of the smallest box around both."""
        return self.size_a + self.move_high.relu() + (-self.move_low).relu()

    def empty_share(self) -> Tensor:
        """The share of the box around both that neither fills; 0 where it has no area."""
        around = area(self.around())
        return (around - self.union) / nonzero(around)

    def centre_distance(self) -> Tensor:
        """The squared distance of the centres over the squared diagonal of the box around both."""
        offset = (self.move_low + self.move_high) / 2
        return (offset**2).sum(0) / nonzero((self.around() ** 2).sum(0))

    def shape_difference(self) -> Tensor:
        """CIoU's v: 0 for equal ratios of width and height, and where one box is a point."""
        shaped = self.size_a.any(0) & self.size_b.any(0)
        width_a, height_a = self.size_a.where(shaped, 1)
        width_b, height_b = self.size_b.where(shaped, 1)
        difference = torch.atan2(width_b, height_b) - torch.atan2(width_a, height_a)
        return 4 / math.pi**2 * difference**2


@in_float32
def box_iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    r"""Intersection over union, each box of ``boxes_a`` with the one in its row of ``boxes_b``.

    .. math::
        \mathrm{IoU} = \frac{|A \cap B|}{|A \cup B|}

    Nothing is added to the denominator, so boxes of side 0.001 get the same answer as boxes of
    side 1000. Two equal boxes without area have IoU 1, two different ones 0.

    Args:
        boxes_a, boxes_b: corners (x1, y1, x2, y2) with x1 ≤ x2 and y1 ≤ y2.

    Shape:
        boxes_a, boxes_b: :math:`(N, 4)`. Result: :math:`(N)`, in [0, 1].

    Raises:
        ValueError: the shapes are not (N, 4) and equal, or a box has x2 < x1 or y2 < y1.
        TypeError: an argument is not a floating-point tensor.

    >>> box_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor([0.3333])
    """
    boxes(boxes_a=boxes_a, boxes_b=boxes_b)
    ordered(boxes_a=boxes_a, boxes_b=boxes_b)
    return Pairs(*corners(boxes_a), *corners(boxes_b)).iou


@in_float32
def generalized_box_iou(boxes_a: Tensor, boxes_b: Tensor) -> Tensor:
    r"""IoU minus the share of the smallest enclosing box that neither box fills, row by row.

    .. math::
        \mathrm{GIoU} = \mathrm{IoU} - \frac{|C| - |A \cup B|}{|C|}

    It is never above the IoU and tells far boxes from near ones. Where the enclosing box
    :math:`C` has no area, nothing is subtracted.

    Args:
        boxes_a, boxes_b: corners (x1, y1, x2, y2) with x1 ≤ x2 and y1 ≤ y2.

    Shape:
        boxes_a, boxes_b: :math:`(N, 4)`. Result: :math:`(N)`, in (-1, 1].

    Raises:
        ValueError: the shapes are not (N, 4) and equal, or a box has x2 < x1 or y2 < y1.
        TypeError: an argument is not a floating-point tensor.

    >>> near, far = [3.0, 0.0, 5.0, 2.0], [30.0, 0.0, 32.0, 2.0]
    >>> generalized_box_iou(torch.tensor([[0.0, 0.0, 2.0, 2.0]] * 2), torch.tensor([near, far]))
    tensor([-0.2000, -0.8750])
    """
    boxes(boxes_a=boxes_a, boxes_b=boxes_b)
    ordered(boxes_a=boxes_a, boxes_b=boxes_b)
    pairs = Pairs(*corners(boxes_a), *corners(boxes_b))
    return pairs.iou - pairs.empty_share()


class BoxLoss(Loss):
    """What the losses for boxes share: a loss per box, and 0 where there is no box."""

    def pairs(self, pred_boxes: Tensor, target_boxes: Tensor) -> Pairs:
        """The predicted boxes, their corners put in order, beside the targets."""
        boxes(pred_boxes=pred_boxes, target_boxes=target_boxes)
        ordered(target_boxes=target_boxes)
        first, second = corners(pred_boxes)
        right_way = first <= second
        low, high = first.where(right_way, second), second.where(right_way, first)
        return Pairs(low, high, *corners(target_boxes))

    def reduce(self, values: Tensor) -> Tensor:
        return super().reduce(values) if self.reduction != "mean" else mean_or_zero(values)


class IoULoss(BoxLoss):
    r"""One minus intersection over union: the score that detectors are judged by, as a loss.

    .. math::
        \ell = 1 - \mathrm{IoU} \qquad \mathrm{IoU} = \frac{|A \cap B|}{|A \cup B|}

    Boxes that do not touch all cost 1, so nothing tells the predicted one where to go: the
    gradient is 0. :class:`GIoULoss` and :class:`DIoULoss` repair that.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        pred_boxes, target_boxes: :math:`(N, 4)`, corners (x1, y1, x2, y2).
        Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, 1]`, the same at every scale.

    Raises:
        ValueError: the shapes are not (N, 4) and equal, or a target has x2 < x1 or y2 < y1.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        Swapped corners of a prediction are put in order first. Without boxes the loss is 0.
        The original paper takes :math:`-\log \mathrm{IoU}`.

    Source:
        Yu et al. (2016), UnitBox, for the logarithm; Rezatofighi et al. (2019), Generalized
        Intersection over Union, Algorithm 2, for this form.

    >>> IoULoss()(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[1.0, 0.0, 3.0, 2.0]]))
    tensor(0.6667)
    """

    @in_float32
    def forward(self, pred_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        return self.reduce(1 - self.pairs(pred_boxes, target_boxes).iou)


class GIoULoss(BoxLoss):
    r"""The IoU loss plus the empty share of the box around both: it also pulls on far boxes.

    .. math::
        \ell = 1 - \mathrm{IoU} + \frac{|C| - |A \cup B|}{|C|}

    :math:`C` is the smallest box around both. Boxes that do not touch have a gradient that
    shrinks :math:`C`, often by growing the prediction towards the target first.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        pred_boxes, target_boxes: :math:`(N, 4)`, corners (x1, y1, x2, y2).
        Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, 2)`, the same at every scale; 2 for two far boxes without area.

    Raises:
        ValueError: the shapes are not (N, 4) and equal, or a target has x2 < x1 or y2 < y1.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        Swapped corners of a prediction are put in order first: as they stand they could score
        a perfect 0. Without boxes the loss is 0. Nothing is added to a denominator; torchvision
        and most others add 1e-7, which is 10 % at side 0.001.

    Source:
        Rezatofighi et al. (2019), Generalized Intersection over Union, Algorithm 2.

    >>> GIoULoss()(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[3.0, 0.0, 5.0, 2.0]]))
    tensor(1.2000)
    """

    @in_float32
    def forward(self, pred_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        pairs = self.pairs(pred_boxes, target_boxes)
        return self.reduce(1 - pairs.iou + pairs.empty_share())


class DIoULoss(BoxLoss):
    r"""The IoU loss plus the distance of the centres: it also centres a box inside its target.

    .. math::
        \ell = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2}

    :math:`\rho` is the distance of the two centres, :math:`c` the diagonal of the smallest box
    around both.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        pred_boxes, target_boxes: :math:`(N, 4)`, corners (x1, y1, x2, y2).
        Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, 2)`, the same at every scale; 2 for two points.

    Raises:
        ValueError: the shapes are not (N, 4) and equal, or a target has x2 < x1 or y2 < y1.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        Swapped corners of a prediction are put in order first. Without boxes the loss is 0.
        Two boxes with one centre have no penalty, whatever their shapes.

    Source:
        Zheng et al. (2020), Distance-IoU Loss, section on the DIoU loss.

    >>> DIoULoss()(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[3.0, 0.0, 5.0, 2.0]]))
    tensor(1.3103)
    """

    @in_float32
    def forward(self, pred_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        pairs = self.pairs(pred_boxes, target_boxes)
        return self.reduce(1 - pairs.iou + pairs.centre_distance())


class CIoULoss(BoxLoss):
    r"""The DIoU loss plus a term for the shape: width over height should match too.

    .. math::
        \ell = 1 - \mathrm{IoU} + \frac{\rho^2}{c^2} + \alpha v \qquad
        v = \frac{4}{\pi^2} \left( \arctan \frac{w_t}{h_t} - \arctan \frac{w}{h} \right)^2 \qquad
        \alpha = \frac{v}{1 - \mathrm{IoU} + v}

    :math:`\alpha` is a weight and passes no gradient: shape counts more as the overlap grows.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        pred_boxes, target_boxes: :math:`(N, 4)`, corners (x1, y1, x2, y2).
        Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, 2.5)`, the same at every scale. IoU loss and distance are at most 1 each;
        :math:`\alpha v` is largest without overlap, :math:`v^2 / (1 + v)`, at most ½.

    Raises:
        ValueError: the shapes are not (N, 4) and equal, or a target has x2 < x1 or y2 < y1.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        Because :math:`\alpha` is detached, the gradient is not the slope of the value: a
        finite-difference check fails, and should. A point has no shape, so there :math:`v = 0`.
        The gradient of :math:`v` is exact; the authors' code replaces its factor
        :math:`1 / (w^2 + h^2)` by 1. Without boxes the loss is 0.

    Source:
        Zheng et al. (2020), Distance-IoU Loss, section on the CIoU loss.

    >>> CIoULoss()(torch.tensor([[0.0, 0.0, 2.0, 2.0]]), torch.tensor([[3.0, 0.0, 5.0, 1.0]]))
    tensor(1.3207)
    """

    @in_float32
    def forward(self, pred_boxes: Tensor, target_boxes: Tensor) -> Tensor:
        pairs = self.pairs(pred_boxes, target_boxes)
        v = pairs.shape_difference()
        alpha = (v / nonzero(1 - pairs.iou + v)).detach()
        return self.reduce(1 - pairs.iou + pairs.centre_distance() + alpha * v)


def corners(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The two corners of each box, (2, N) each."""
    return boxes[:, :2].T.contiguous(), boxes[:, 2:].T.contiguous()


def area(size: Tensor) -> Tensor:
    return size[0] * size[1]


def nonzero(denominator: Tensor) -> Tensor:
    """1 where the denominator is 0: there the numerator is 0 too."""
    return denominator.where(denominator != 0, 1)


def mean_or_zero(values: Tensor) -> Tensor:
    """The mean; of no values, a 0 that back-propagates."""
    return values.sum() / max(values.numel(), 1)


def boxes(**tensors: Tensor) -> None:
    """Every argument has the same shape (N, 4)."""
    floating(**tensors)
    for name, tensor in tensors.items():
        if tensor.dim() != 2 or tensor.shape[1] != 4:
            raise ValueError(
                f"{name} must have shape (N, 4), one row (x1, y1, x2, y2) per box, "
                f"got {tuple(tensor.shape)}"
            )
    same_shape(**tensors)


def ordered(**tensors: Tensor) -> None:
    """Every box has x1 <= x2 and y1 <= y2. Not looked at under compile or vmap."""
    for name, tensor in tensors.items():
        if _hidden(tensor):
            continue
        wrong = ~(tensor[:, :2] <= tensor[:, 2:]).all(1)
        if wrong.any():
            row = int(wrong.nonzero()[0])
            corners = ", ".join(f"{x:.4g}" for x in tensor[row].tolist())
            raise ValueError(
                f"{name} must have x1 <= x2 and y1 <= y2, got ({corners}) in row {row}: "
                "order the corners, or convert from (x, y, width, height)"
            )
