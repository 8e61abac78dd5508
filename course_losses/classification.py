"""Losses for classes: what a probability costs when the truth is known."""

import torch
import torch.nn.functional as F
from torch import Tensor

from course_losses.checks import (
    class_per_position,
    dimensions,
    floating,
    not_empty,
    probabilities,
    same_shape,
    whole,
    within,
    zeros_and_ones,
)
from course_losses.loss import Loss, Reduction, in_float32


def weights(name: str, weight: Tensor | None, interval: str) -> Tensor | None:
    """A floating-point tensor of weights, all inside ``interval``."""
    if weight is not None:
        floating(**{name: weight})
        not_empty(**{name: weight})
        for value in (weight.min(), weight.max()):
            within(name, value.item(), interval)
    return weight


class BCELoss(Loss):
    r"""Cross-entropy of a yes-or-no question, from a probability.

    .. math::
        \ell(p, y) = -\bigl( y \log p + (1 - y) \log (1 - p) \bigr)

    The gradient :math:`(p - y) / (p (1 - p))` grows without bound towards a confident mistake.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        probs, target: :math:`(*)`, equal, in [0, 1]. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in nats; at most 100 here (see Convention).

    Raises:
        ValueError: a value is outside [0, 1], the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        As torch: each logarithm is at least -100, so a mistake made with probability 0 or 1
        costs 100, not infinity, and the gradient's denominator is at least 1e-12. At
        :math:`p` exactly 0 or 1 a right answer costs exactly 0, with gradient 0. A float32
        sigmoid reaches 1 from a logit of 17 on, and from there nothing is learned:
        :class:`BCEWithLogitsLoss` has no such wall.

    Source:
        Good (1952), Rational Decisions, the logarithmic score; Goodfellow, Bengio & Courville
        (2016), Deep Learning, §6.2.2.2.

    >>> BCELoss(reduction="none")(torch.tensor([0.5, 0.0, 0.0]), torch.tensor([1.0, 0.0, 1.0]))
    tensor([  0.6931,   0.0000, 100.0000])
    """

    @in_float32
    def forward(self, probs: Tensor, target: Tensor) -> Tensor:
        floating(probs=probs, target=target)
        same_shape(probs=probs, target=target)
        not_empty(probs=probs)
        probabilities(probs=probs, target=target)
        return F.binary_cross_entropy(probs, target, reduction=self.reduction)


class BCEWithLogitsLoss(Loss):
    r"""Cross-entropy of a yes-or-no question, from a logit: right for every size of logit.

    .. math::
        \ell(z, y) = -\bigl( w\, y \log \sigma(z) + (1 - y) \log \sigma(-z) \bigr)
        \qquad \sigma(z) = \frac{1}{1 + e^{-z}}

    The gradient is :math:`\sigma(z) - y` for :math:`w = 1`: at most 1, and never lost where the
    answer is wrong.

    Args:
        pos_weight: the weight :math:`w` of the positive class, > 0: a number, or a tensor with
            one value for each entry of ``logits[0]`` (a dimension of size 1 serves all).
        reduction: "mean", "sum" or "none".

    Shape:
        logits, target: :math:`(*)`, equal, target in [0, 1]. Result: scalar; :math:`(*)` for
        "none".

    Range:
        :math:`[0, \infty)`, in nats.

    Raises:
        ValueError: ``pos_weight`` is not positive or does not fit, a target is outside [0, 1], the
            shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        "mean" divides by the number of elements, not by the sum of the weights, as torch. A
        ``pos_weight`` of :math:`w` moves the fitted probability from :math:`p` to
        :math:`wp / (wp + 1 - p)`: it is no longer calibrated.

    Source:
        Cox (1958), The Regression Analysis of Binary Sequences; Goodfellow, Bengio & Courville
        (2016), Deep Learning, §6.2.2.2.

    >>> BCEWithLogitsLoss(reduction="none")(torch.tensor([0.0, -200.0]), torch.ones(2))
    tensor([  0.6931, 200.0000])
    """

    pos_weight: Tensor | None

    def __init__(
        self, pos_weight: float | Tensor | None = None, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        if pos_weight is not None and not isinstance(pos_weight, Tensor):
            pos_weight = torch.tensor(within("pos_weight", pos_weight, "(0, inf)"))
        if pos_weight is not None and pos_weight.numel() == 1:
            pos_weight = pos_weight.reshape(())
        self.register_buffer("pos_weight", weights("pos_weight", pos_weight, "(0, inf)"))

    @in_float32
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        floating(logits=logits, target=target)
        same_shape(logits=logits, target=target)
        not_empty(logits=logits)
        probabilities(target=target)
        weight = None if self.pos_weight is None else self.pos_weight.to(logits)
        if weight is not None and not _serves(weight.shape, logits.shape[1:]):
            raise ValueError(
                "pos_weight must hold one value, or one for each entry of logits[0] of shape "
                f"{tuple(logits.shape[1:])}, got shape {tuple(weight.shape)}"
            )
        return F.binary_cross_entropy_with_logits(
            logits, target, pos_weight=weight, reduction=self.reduction
        )


def _serves(shape: torch.Size, entries: torch.Size) -> bool:
    sizes = zip(shape, entries, strict=False)
    return len(shape) in (0, len(entries)) and all(size in (1, entry) for size, entry in sizes)


class ClassIndexLoss(Loss):
    """What the losses share whose target is one class index per position.

    Args:
        weight: one weight per class, >= 0, or None for 1 each.
        ignore_index: positions with this target count for nothing.
        reduction: "mean", "sum" or "none".
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        if weight is not None:
            dimensions(1, weight=weight)
        self.register_buffer("weight", weights("weight", weight, "[0, inf)"))
        self.ignore_index = whole("ignore_index", ignore_index, least=-(2**63))

    @property
    def fused(self) -> str:
        """How far torch's kernel reduces: its mean of nothing is NaN, so the mean is ours."""
        return "none" if self.reduction == "none" else "sum"

    def checked(self, target: Tensor, **scores: Tensor) -> tuple[Tensor, Tensor | None]:
        """The target as int64 and the class weights in the scores' type, once both fit them."""
        target = class_per_position(target, self.ignore_index, **scores)
        ((name, score),) = scores.items()
        if self.weight is None:
            return target, None
        if len(self.weight) != score.shape[1]:
            raise ValueError(
                f"weight must hold one value per class: {name} has {score.shape[1]} classes, "
                f"weight {len(self.weight)} values"
            )
        return target, self.weight.to(score)

    def reduce_kept(self, values: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        """As ``reduce``, but "mean" divides by the (weighted) count of what is not ignored."""
        if self.reduction != "mean":
            return self.reduce(values)
        kept = target != self.ignore_index
        mass = (kept if weight is None else weight[target * kept] * kept).sum()
        return values.sum() / mass.where(mass > 0, 1)


class NLLLoss(ClassIndexLoss):
    r"""Minus the log-probability of the true class, for networks that give log-probabilities.

    .. math::
        \ell(\log p, y) = -w_y \log p_y

    The gradient is :math:`-w_y` at the true class and 0 elsewhere: what pulls the others down is
    the log-softmax before it.

    Args:
        weight: one weight per class, >= 0, of shape (C,); None: 1 each.
        ignore_index: positions with this target count for nothing.
        reduction: "mean", "sum" or "none".

    Shape:
        log_probs: :math:`(N, C, *)`. target: :math:`(N, *)`, integer. Result: scalar;
        :math:`(N, *)` for "none".

    Range:
        :math:`[0, \infty)`, in nats.

    Raises:
        ValueError: a log-probability is positive, a target is no class, the shapes do not fit,
            ``weight`` has the wrong length or a negative value, or the batch is empty.
        TypeError: the target is not an integer tensor, or another argument not floating point.

    Convention:
        As torch, "mean" divides by the sum of the weights of the positions that count. Unlike
        torch, which gives NaN, it is 0 where that sum is 0 (all ignored).

    Source:
        Good (1952), Rational Decisions, the logarithmic score.

    >>> NLLLoss()(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([1]))
    tensor(1.3863)
    """

    @in_float32
    def forward(self, log_probs: Tensor, target: Tensor) -> Tensor:
        target, weight = self.checked(target, log_probs=log_probs)
        if not torch.compiler.is_compiling() and (highest := log_probs.max()) > 1e-3:
            raise ValueError(
                f"log_probs must be at most 0, got {highest.item():.4g}: "
                "pass log_softmax(logits, dim=1), or the logits to CrossEntropyLoss"
            )
        values = F.nll_loss(
            log_probs, target, weight, ignore_index=self.ignore_index, reduction=self.fused
        )
        return self.reduce_kept(values, target, weight)


class CrossEntropyLoss(ClassIndexLoss):
    r"""Minus the log-probability that the softmax of the logits gives the true class.

    .. math::
        \ell(z, y) = -w_y \log \frac{e^{z_y}}{\sum_k e^{z_k}}

    The gradient is :math:`w_y` times softmax minus one-hot: bounded, and full wherever the answer
    is wrong.

    Args:
        weight: one weight per class, >= 0, of shape (C,); None: 1 each.
        ignore_index: positions with this target count for nothing.
        reduction: "mean", "sum" or "none".

    Shape:
        logits: :math:`(N, C, *)`. target: :math:`(N, *)`, integer. Result: scalar; :math:`(N, *)`
        for "none".

    Range:
        :math:`[0, \infty)`, in nats; :math:`\log C` for equal logits.

    Raises:
        ValueError: a target is no class, the shapes do not fit, ``weight`` has the wrong length or
            a negative value, or the batch is empty.
        TypeError: the target is not an integer tensor, or the logits not floating point.

    Convention:
        Logits go in, not probabilities: after a second softmax the loss cannot fall below
        :math:`\log(1 + (C - 1)/e)`. As torch, "mean" divides by the sum of the weights of the
        positions that count. Unlike torch, which gives NaN, it is 0 where that sum is 0.

    Source:
        Bridle (1990), Probabilistic Interpretation of Feedforward Classification Network Outputs;
        Goodfellow, Bengio & Courville (2016), Deep Learning, §6.2.2.3.

    >>> CrossEntropyLoss()(torch.tensor([[1.0, 1.0, 1.0, 1.0]]), torch.tensor([2]))
    tensor(1.3863)
    """

    @in_float32
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        target, weight = self.checked(target, logits=logits)
        values = F.cross_entropy(
            logits, target, weight, ignore_index=self.ignore_index, reduction=self.fused
        )
        return self.reduce_kept(values, target, weight)


class LabelSmoothingCrossEntropy(ClassIndexLoss):
    r"""Cross-entropy that asks for a little less than certainty.

    .. math::
        \ell(z, y) = -\sum_{k=1}^K q_k \log p_k \qquad
        q_k = (1 - \varepsilon)\,[k = y] + \frac{\varepsilon}{K} \qquad p = \text{softmax}(z)

    The gradient is :math:`p - q`: it vanishes at :math:`p = q`, so the logits stay finite, where
    cross-entropy pushes them apart for ever.

    Args:
        epsilon: the share of the target spread evenly over all :math:`K` classes, in [0, 1].
        ignore_index: positions with this target count for nothing.
        reduction: "mean", "sum" or "none".

    Shape:
        logits: :math:`(N, K, *)`. target: :math:`(N, *)`, integer. Result: scalar; :math:`(N, *)`
        for "none".

    Range:
        At least the entropy of :math:`q`, which is 0 only for ``epsilon=0``; in nats.

    Raises:
        ValueError: ``epsilon`` is not in [0, 1], a target is no class, the shapes do not fit, or
            the batch is empty.
        TypeError: the target is not an integer tensor, or the logits not floating point.

    Convention:
        The true class keeps :math:`1 - \varepsilon + \varepsilon / K`, as in the paper and torch.
        Some code spreads :math:`\varepsilon` over the other :math:`K - 1` classes only; that is
        this loss with :math:`\varepsilon K / (K - 1)`. "mean" divides by the number of positions
        that are not ignored; it is 0 where there is none.

    Source:
        Szegedy et al. (2016), Rethinking the Inception Architecture for Computer Vision, §7.

    >>> loss = LabelSmoothingCrossEntropy(epsilon=0.4)  # q = (0.2, 0.8)
    >>> loss(torch.tensor([[0.5, 0.5]]).log(), torch.tensor([1]))
    tensor(0.6931)
    """

    def __init__(
        self, epsilon: float = 0.1, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(None, ignore_index, reduction)
        self.epsilon = within("epsilon", epsilon, "[0, 1]")

    @in_float32
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        target, _ = self.checked(target, logits=logits)
        values = F.cross_entropy(
            logits,
            target,
            ignore_index=self.ignore_index,
            reduction=self.fused,
            label_smoothing=self.epsilon,
        )
        return self.reduce_kept(values, target)


class FocalLoss(ClassIndexLoss):
    r"""Cross-entropy that turns away from what is already right.

    .. math::
        \ell(z, y) = -w_y\, (1 - p_y)^\gamma \log p_y \qquad p = \text{softmax}(z)

    With respect to :math:`z_y` the gradient is
    :math:`-w_y (1 - p_y)^\gamma \bigl( 1 - p_y - \gamma\, p_y \log p_y \bigr)`: at
    :math:`\gamma = 2` and :math:`p_y = 0.9` some 35 times less than that of cross-entropy.

    Args:
        gamma: how fast an example loses weight as it becomes right, >= 0; 0 is cross-entropy.
        weight: one weight per class, >= 0, of shape (C,); None: 1 each.
        ignore_index: positions with this target count for nothing.
        reduction: "mean", "sum" or "none".

    Shape:
        logits: :math:`(N, C, *)`. target: :math:`(N, *)`, integer. Result: scalar; :math:`(N, *)`
        for "none".

    Range:
        :math:`[0, \infty)`.

    Raises:
        ValueError: ``gamma`` is negative, a target is no class, the shapes do not fit, ``weight``
            has the wrong length or a negative value, or the batch is empty.
        TypeError: the target is not an integer tensor, or another argument not floating point.

    Convention:
        :math:`p_y` comes from the softmax of the logits as they are; the weight multiplies the
        loss and does not enter it. "mean" divides by the number of positions that are not
        ignored, not by the sum of their weights; it is 0 where there is none. One number for all
        classes would only change the learning rate: balance needs one weight per class.

    Source:
        Lin et al. (2017), Focal Loss for Dense Object Detection, Eq. (5), with a softmax.

    >>> FocalLoss(gamma=2.0)(torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([0]))
    tensor(0.1733)
    """

    def __init__(
        self,
        gamma: float = 2.0,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(weight, ignore_index, reduction)
        self.gamma = within("gamma", gamma, "[0, inf)")

    @in_float32
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        target, weight = self.checked(target, logits=logits)
        nll = F.cross_entropy(logits, target, ignore_index=self.ignore_index, reduction="none")
        doubt = -torch.expm1(-nll)  # 1 - p; at 0 the slope of a power below 1 would be infinite
        values = doubt.clamp(min=torch.finfo(nll.dtype).eps ** 2) ** self.gamma * nll
        if weight is not None:
            values = weight[target * (target != self.ignore_index)] * values
        return self.reduce_kept(values, target)


class BinaryFocalLoss(Loss):
    r"""Focal loss of yes-or-no questions, one per element: the loss of RetinaNet.

    .. math::
        \ell(z, y) = -\alpha_t\, (1 - p_t)^\gamma \log p_t \qquad
        (p_t, \alpha_t) = \begin{cases} (\sigma(z), \alpha) & y = 1 \\
                           (\sigma(-z), 1 - \alpha) & y = 0 \end{cases}

    The gradient fades as :math:`(1 - p_t)^{\gamma + 1}` where the answer becomes right, and is
    that of cross-entropy, times :math:`\alpha_t`, where it is badly wrong.

    Args:
        alpha: the weight of the positives, in [0, 1]; the negatives have ``1 - alpha``. None: no
            balancing, weight 1 for both.
        gamma: how fast an example loses weight as it becomes right, >= 0.
        reduction: "mean", "sum" or "none".

    Shape:
        logits, target: :math:`(*)`, equal, target 0 or 1. Result: scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`.

    Raises:
        ValueError: ``alpha`` or ``gamma`` is out of range, a target is neither 0 nor 1, the shapes
            differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        ``alpha=0.25`` weighs positives *less*: the paper found it best together with
        ``gamma=2``, which already quietens the many easy negatives. "mean" divides by the number
        of elements; RetinaNet sums and divides by the number of positives.

    Source:
        Lin et al. (2017), Focal Loss for Dense Object Detection, Eq. (5).

    >>> BinaryFocalLoss(reduction="none")(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0]))
    tensor([0.0433, 0.1300])
    """

    def __init__(
        self, alpha: float | None = 0.25, gamma: float = 2.0, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.alpha = None if alpha is None else within("alpha", alpha, "[0, 1]")
        self.gamma = within("gamma", gamma, "[0, inf)")

    @in_float32
    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        floating(logits=logits, target=target)
        same_shape(logits=logits, target=target)
        not_empty(logits=logits)
        zeros_and_ones(target=target)
        wrong = logits * (1 - 2 * target)  # the logit of the wrong answer
        doubt = torch.sigmoid(wrong.clamp(min=-80))
        values = doubt**self.gamma * F.softplus(wrong)
        if self.alpha is not None:
            values = values * (1 - self.alpha + (2 * self.alpha - 1) * target)
        return self.reduce(values)
