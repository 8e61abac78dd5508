"""Losses for masks: they count the overlap of two regions, not the pixels one by one."""

from typing import Literal, get_args

import torch
from torch import Tensor

from course_losses.checks import (
    class_per_position,
    dimensions,
    floating,
    not_empty,
    one_of,
    probabilities,
    same_shape,
    whole,
    within,
)
from course_losses.classification import CrossEntropyLoss
from course_losses.loss import Loss, Reduction, in_float32

Over = Literal["batch", "example"]


class OverlapLoss(Loss):
    """What Dice and Jaccard share: their arguments, and how pixels become two counts."""

    def __init__(
        self, smooth: float = 1.0, over: Over = "batch", reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.smooth = within("smooth", smooth, "[0, inf)")
        self.over: Over = one_of("over", over, get_args(Over))

    def counts(self, probs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The mass on which mask and prediction agree, and the mass on which they do not."""
        floating(probs=probs)
        dimensions(1, 64, probs=probs)
        if not isinstance(target, Tensor) or target.is_complex():
            came = target.dtype if isinstance(target, Tensor) else type(target).__name__
            raise TypeError(f"target must be a tensor of booleans, integers or floats, got {came}")
        same_shape(probs=probs, target=target)
        not_empty(probs=probs)
        mask = target.to(probs.dtype)
        probabilities(probs=probs)
        probabilities("divide an 8-bit image by 255; class indices want another loss", target=mask)
        rows = len(probs) if self.over == "example" else 1
        p, t = probs.reshape(rows, -1), mask.reshape(rows, -1)
        both = p * t
        agree = both.sum(1)
        disagree = p.sum(1) + t.sum(1) - 2 * agree
        # The difference of sums keeps no digits of a nearly perfect mask; this sum does.
        exact = both.detach().mul_(-2).add_(p.detach()).add_(t.detach()).sum(1)
        disagree = exact + (disagree - disagree.detach())
        shape = (rows,) if self.over == "example" else ()
        return agree.reshape(shape), disagree.reshape(shape)


class DiceLoss(OverlapLoss):
    r"""One minus twice the overlap over the total size: the background, however large, is free.

    .. math::
        \ell = 1 - \frac{2 I + s}{\sum_i p_i + \sum_i t_i + s} \qquad I = \sum_i p_i t_i

    The gradient with respect to :math:`p_i` is :math:`-(2 t_i - D) / (\sum p + \sum t + s)`,
    where :math:`D` is the score, the fraction above. A pixel of the object always pulls up, one
    of the background pushes down only as far as the score is good: with no overlap yet,
    nothing but ``smooth`` pushes it.

    Args:
        smooth: :math:`s`, in pixels, ≥ 0. It makes two empty masks agree and caps what missing
            a tiny object costs; 0 gives the plain score, and 0 for two empty masks.
        over: "batch" for one score over all pixels of the batch, whatever the reduction;
            "example" for one score per example, then reduced.
        reduction: "mean", "sum" or "none".

    Shape:
        probs: :math:`(N, *)`, in [0, 1]; target: the same shape, boolean, integer or floating
        point, in [0, 1]. Result: scalar; :math:`(N)` for "none" with ``over="example"``.

    Range:
        :math:`[0, 1)`; with ``smooth=0`` up to 1.

    Raises:
        ValueError: ``smooth`` is negative, ``over`` is unknown, the shapes differ, the batch is
            empty, or a value is outside [0, 1].
        TypeError: ``probs`` is not floating point, or ``target`` is complex.

    Convention:
        The sum of :math:`p`, not of :math:`p^2` as in V-Net, stands in the denominator, and
        ``smooth`` in both places. MONAI scores each example and channel by itself, kornia pools.

    Source:
        Dice (1945), Measures of the Amount of Ecologic Association Between Species; as a loss,
        Milletari et al. (2016), V-Net, §3, and with the linear denominator Drozdzal et al.
        (2016), The Importance of Skip Connections in Biomedical Image Segmentation.

    >>> DiceLoss(smooth=0)(torch.tensor([[0.5, 1.0, 0.0]]), torch.tensor([[1, 1, 0]]))
    tensor(0.1429)
    """

    @in_float32
    def forward(self, probs: Tensor, target: Tensor) -> Tensor:
        agree, disagree = self.counts(probs, target)
        return self.reduce(overlap_loss(2 * agree, disagree, self.smooth))


class JaccardLoss(OverlapLoss):
    r"""One minus intersection over union: stricter than Dice on the same mistake.

    .. math::
        \ell = 1 - \frac{I + s}{\sum_i p_i + \sum_i t_i - I + s} \qquad I = \sum_i p_i t_i

    With ``smooth=0`` this is :math:`2 d / (1 + d)` for a Dice loss :math:`d`, so both rank the
    same predictions alike; near a perfect mask the gradient is twice Dice's.

    Args:
        smooth: :math:`s`, in pixels, ≥ 0; 0 gives the plain index, and 0 for two empty masks.
        over: "batch" for one index over all pixels of the batch, whatever the reduction;
            "example" for one index per example, then reduced.
        reduction: "mean", "sum" or "none".

    Shape:
        probs: :math:`(N, *)`, in [0, 1]; target: the same shape, boolean, integer or floating
        point, in [0, 1]. Result: scalar; :math:`(N)` for "none" with ``over="example"``.

    Range:
        :math:`[0, 1)`; with ``smooth=0`` up to 1.

    Raises:
        ValueError: ``smooth`` is negative, ``over`` is unknown, the shapes differ, the batch is
            empty, or a value is outside [0, 1].
        TypeError: ``probs`` is not floating point, or ``target`` is complex.

    Convention:
        The union is :math:`\sum p + \sum t - I`. For soft masks other unions are in use
        (a sum of maxima, say); they agree on binary ones.

    Source:
        Jaccard (1912), The Distribution of the Flora in the Alpine Zone; as a loss, Rahman &
        Wang (2016), Optimizing Intersection-Over-Union in Deep Neural Networks for Image
        Segmentation.

    >>> JaccardLoss(smooth=0)(torch.tensor([[0.5, 1.0, 0.0]]), torch.tensor([[1, 1, 0]]))
    tensor(0.2500)
    """

    @in_float32
    def forward(self, probs: Tensor, target: Tensor) -> Tensor:
        agree, disagree = self.counts(probs, target)
        return self.reduce(overlap_loss(agree, disagree, self.smooth))


class MultiClassDiceLoss(Loss):
    r"""A Dice loss for every class, then their mean: a rare class counts as much as a common one.

    .. math::
        \ell_c = 1 - \frac{2 I_c + s}{\sum_i p_{ic} + \sum_i t_{ic} + s} \qquad
        I_c = \sum_i p_{ic} t_{ic} \qquad p_i = \operatorname{softmax}(z_i)

    :math:`i` runs over the pixels of the whole batch, and :math:`t_{ic}` is 1 where pixel
    :math:`i` is of class :math:`c`. The gradient on a logit passes through the softmax, so it
    fades on pixels that are confident, the confidently wrong ones included: that is why Dice is
    often paired with cross-entropy (:class:`CrossEntropyDiceLoss`).

    Args:
        smooth: :math:`s`, in pixels, ≥ 0; 0 gives the plain score, and 0 for a class that is
            neither there nor predicted.
        ignore_index: pixels with this target count nowhere.
        reduction: "mean", "sum" or "none": the classes are what is reduced.

    Shape:
        logits: :math:`(N, C, *)` with C ≥ 2; target: :math:`(N, *)`, class indices.
        Result: scalar; :math:`(C)` for "none".

    Range:
        :math:`[0, 1)` per class; with ``smooth=0`` up to 1.

    Raises:
        ValueError: ``smooth`` is negative, the shapes do not fit, the batch is empty, there is
            a single class, or a class is out of range.
        TypeError: ``logits`` is not floating point, or ``target`` not integer.

    Convention:
        Logits in: a softmax before this loss would be applied twice. Absent classes stay in the
        mean. If every pixel is ignored, the loss is 0.

    Source:
        Drozdzal et al. (2016), The Importance of Skip Connections in Biomedical Image
        Segmentation, for one class; the mean over classes is common practice.

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> MultiClassDiceLoss(reduction="none")(logits, torch.tensor([0, 1]))
    tensor([0.1232, 0.1362])
    """

    def __init__(
        self, smooth: float = 1.0, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.smooth = within("smooth", smooth, "[0, inf)")
        self.ignore_index = whole("ignore_index", ignore_index, least=-(2**63))

    @in_float32
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        confusion = soft_confusion(logits, target, self.ignore_index)
        agree = confusion.diagonal()
        mistaken = confusion - torch.diag(agree)
        disagree = mistaken.sum(0) + mistaken.sum(1)
        return self.reduce(overlap_loss(2 * agree, disagree, self.smooth))


class CrossEntropyDiceLoss(Loss):
    r"""Cross-entropy for a gradient at every pixel, Dice for classes that are small.

    .. math::
        \ell_i = w_{CE} \, \mathrm{CE}(z_i, y_i) + w_D \, \mathrm{Dice}(z, y)

    :math:`i` is a pixel; the Dice loss is one number for the batch. On a confident mistake the
    softmax lets Dice's gradient fade, and cross-entropy's remains. On a class of few pixels
    cross-entropy's share of the mean is small, and Dice's is as large as any other's.

    Args:
        ce_weight: :math:`w_{CE}`, ≥ 0.
        dice_weight: :math:`w_D`, ≥ 0.
        smooth: as in :class:`MultiClassDiceLoss`.
        reduction: "mean", "sum" or "none": the pixels are what is reduced, so "mean" is the
            weighted sum of the two losses' means.

    Shape:
        logits: :math:`(N, C, *)` with C ≥ 2; target: :math:`(N, *)`, class indices, or -100 for
        pixels that count nowhere. Result: scalar; :math:`(N, *)` for "none".

    Range:
        :math:`[0, \infty)`.

    Raises:
        ValueError: a weight or ``smooth`` is negative, the shapes do not fit, the batch is empty,
            there is a single class, or a class is out of range.
        TypeError: ``logits`` is not floating point, or ``target`` not integer.

    Convention:
        MONAI and nnU-Net add the two with weights 1 and 1: twice this loss's default. An ignored
        pixel is 0 for "none", and "mean" divides by the pixels that are not ignored.

    Source:
        Taghanaki et al. (2019), Combo Loss; with equal weights Isensee et al. (2021), nnU-Net.

    >>> logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> CrossEntropyDiceLoss()(logits, torch.tensor([0, 1]))
    tensor(0.1749)
    """

    def __init__(
        self,
        ce_weight: float = 0.5,
        dice_weight: float = 0.5,
        smooth: float = 1.0,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.ce_weight = within("ce_weight", ce_weight, "[0, inf)")
        self.dice_weight = within("dice_weight", dice_weight, "[0, inf)")
        self.smooth = within("smooth", smooth, "[0, inf)")

    @in_float32
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        cross_entropy = CrossEntropyLoss(reduction=self.reduction)
        counted = (target != cross_entropy.ignore_index).to(logits)
        pixels = 1 if self.reduction == "mean" else self.reduce(counted)
        per_pixel: Tensor = cross_entropy(logits, target)
        dice: Tensor = MultiClassDiceLoss(self.smooth)(logits, target)
        return self.ce_weight * per_pixel + self.dice_weight * dice * pixels


def overlap_loss(agree: Tensor, disagree: Tensor, smooth: float) -> Tensor:
    """``1 - (agree + smooth) / (agree + disagree + smooth)``, and 0 where all three are 0."""
    total = agree + disagree + smooth
    nothing = total == 0
    total = total.masked_fill(nothing, 1)
    # Two forms of one number: the first keeps the digits of small losses, the second the
    # digits of the gradient where almost nothing overlaps.
    loss = torch.where(2 * disagree < total, disagree / total, 1 - (agree + smooth) / total)
    return loss.masked_fill(nothing, 0)


def soft_confusion(logits: Tensor, target: Tensor, ignore_index: int) -> Tensor:
    """Entry (c, t): the probability given to class c, summed over the pixels of class t."""
    target = class_per_position(target, ignore_index, logits=logits)
    classes = logits.shape[1]
    if classes < 2:
        raise ValueError(
            f"logits must have at least 2 classes, got shape {tuple(logits.shape)}: "
            "for one channel use DiceLoss()(logits.sigmoid(), target)"
        )
    if logits.dim() == 2:  # N single pixels: one picture of N pixels
        logits, target = logits.T[None], target[None]
    probs = logits.softmax(1).flatten(2)
    labels = torch.where(target == ignore_index, classes, target).flatten(1)
    pixels = labels.shape[1]
    block = max(128, 4 * classes)  # added up block by block: a long running sum loses digits
    blocks = -(-pixels // block)
    bins = labels + torch.arange(pixels, device=labels.device) // block * (classes + 1)
    sums = probs.new_zeros(*probs.shape[:2], blocks * (classes + 1))
    sums = sums.scatter_add(2, bins[:, None].expand_as(probs), probs)
    return sums.view(*probs.shape[:2], blocks, classes + 1).sum((0, 2))[:, :classes]
