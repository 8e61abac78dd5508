"""Losses for the order of a list, and the two measures that they stand in for."""

import torch
import torch.nn.functional as F
from torch import Tensor

from course_losses.checks import dimensions, floating, not_empty, same_shape, whole, within
from course_losses.loss import Loss, Reduction, in_float32


class PairwiseRankingLoss(Loss):
    r"""Wants the better item of each pair to score higher, by a ``margin``.

    .. math::
        \ell(s^+, s^-) = \max\bigl(0,\ m - (s^+ - s^-)\bigr)

    The gradient is -1 on the better and +1 on the worse score until the lead is :math:`m`, then 0.
    Every pair counts alike, wherever it stands in the list: the loss can fall while NDCG falls.

    Args:
        margin: the lead :math:`m`, >= 0, in units of the score.
        reduction: "mean", "sum" or "none".

    Shape:
        positive_scores, negative_scores: :math:`(*)`, equal, one pair per element. Result:
        scalar; :math:`(*)` for "none".

    Range:
        :math:`[0, \infty)`, in units of the score.

    Raises:
        ValueError: ``margin`` is negative, the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        torch's ``MarginRankingLoss`` with all its targets 1, whose margin is 0 by default: there
        equal scores cost nothing.

    Source:
        Herbrich, Graepel & Obermayer (2000), Large Margin Rank Boundaries for Ordinal Regression.

    >>> better, worse = torch.tensor([2.0, 0.5]), torch.tensor([0.0, 1.0])
    >>> PairwiseRankingLoss(margin=1.0, reduction="none")(better, worse)
    tensor([0.0000, 1.5000])
    """

    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = within("margin", margin, "[0, inf)")

    @in_float32
    def forward(self, positive_scores: Tensor, negative_scores: Tensor) -> Tensor:
        floating(positive_scores=positive_scores, negative_scores=negative_scores)
        same_shape(positive_scores=positive_scores, negative_scores=negative_scores)
        not_empty(positive_scores=positive_scores)
        lead = positive_scores - negative_scores
        return self.reduce((self.margin - lead).clamp(min=0))


class ListNetLoss(Loss):
    r"""Compares whole lists: the chance of each item to come first, by scores and by relevance.

    .. math::
        \ell(s, r) = -\sum_{j=1}^L \frac{e^{r_j}}{\sum_k e^{r_k}}
                                   \log \frac{e^{s_j}}{\sum_k e^{s_k}}

    The gradient with respect to the scores is softmax of the scores minus softmax of the
    relevance, so the most relevant items of the list pull most.

    Args:
        reduction: "mean", "sum" or "none".

    Shape:
        scores, relevance: :math:`(N, L)`, a list per row; relevance of any real type. Result:
        scalar; :math:`(N)` for "none".

    Range:
        At least the entropy of the relevance's softmax, in nats, reached by scores that equal the
        relevance up to a constant.

    Raises:
        ValueError: the shapes differ or are not (N, L), or the batch is empty.
        TypeError: the scores are not a floating-point tensor.

    Convention:
        Softmax of the relevance as it is: grades 0 to 4 give the best item most of the weight,
        grades of 0 and 1 nearly even weights. Multiply the relevance to sharpen it.

    Source:
        Cao et al. (2007), Learning to Rank: From Pairwise Approach to Listwise Approach, §4
        (top-one probability, cross-entropy).

    >>> scores, relevance = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[2.0, 1.0, 0.0]])
    >>> ListNetLoss()(scores, relevance)  # log 3
    tensor(1.0986)
    """

    @in_float32
    def forward(self, scores: Tensor, relevance: Tensor) -> Tensor:
        lists(scores, relevance)
        dimensions(2, scores=scores)
        first = relevance.to(scores.dtype).softmax(dim=1)
        return F.cross_entropy(scores, first, reduction=self.reduction)


def reciprocal_rank(scores: Tensor, relevance: Tensor) -> Tensor:
    r"""One over the rank of the first relevant item: 1 if the list starts with one.

    .. math::
        \mathrm{RR} = \frac{1}{\min \{ \text{rank}_j : r_j > 0 \}}

    The mean over lists is MRR. It sees nothing after the first relevant item, and has no useful
    gradient: train with a loss, judge with this.

    Args:
        scores: the higher, the earlier; items with equal scores keep their order in the list.
        relevance: above 0 for relevant items; of any real type, bool included.

    Shape:
        scores, relevance: :math:`(*, L)`, a list per row. Result: :math:`(*)`, one value per list,
        in [0, 1]; 0 where no item is relevant.

    Raises:
        ValueError: the shapes differ, a list is empty, or a score is NaN.
        TypeError: the scores are not a floating-point tensor.

    Source:
        Voorhees (1999), The TREC-8 Question Answering Track Report.

    >>> reciprocal_rank(torch.tensor([[0.1, 0.9, 0.5]]), torch.tensor([[1, 0, 1]]))
    tensor([0.5000])
    """
    found = _in_order_of(scores, relevance) > 0
    return (found / _ranks(scores)).amax(dim=-1).to(scores.dtype)


def ndcg(scores: Tensor, relevance: Tensor, k: int | None = None) -> Tensor:
    r"""How much of the best order's gain the first ``k`` items of this order bring.

    .. math::
        \mathrm{NDCG@}k = \frac{\mathrm{DCG@}k}{\max_{\text{orders}} \mathrm{DCG@}k}
        \qquad \mathrm{DCG@}k = \sum_{i=1}^{k} \frac{2^{r_{(i)}} - 1}{\log_2 (i + 1)}

    where :math:`r_{(i)}` is the relevance of the item at rank :math:`i`. It is piecewise constant
    in the scores: train with a loss, judge with this.

    Args:
        scores: the higher, the earlier; items with equal scores keep their order in the list.
        relevance: grades, from 0 to 1000, of any real type, bool included.
        k: how many ranks count, >= 1; None: all.

    Shape:
        scores, relevance: :math:`(*, L)`, a list per row. Result: :math:`(*)`, one value per list,
        in [0, 1]; 0 where no item is relevant.

    Raises:
        ValueError: the shapes differ, a list is empty, a score is NaN, a grade is not in
            [0, 1000], or ``k`` is less than 1.
        TypeError: the scores are not a floating-point tensor, or ``k`` is no integer.

    Convention:
        Gain :math:`2^r - 1`. With the grade itself as gain, as in scikit-learn's ``ndcg_score``,
        the same lists score higher; that function also averages over ties.

    Source:
        Järvelin & Kekäläinen (2002), Cumulated Gain-based Evaluation of IR Techniques; the gain
        :math:`2^r - 1`: Burges et al. (2005), Learning to Rank using Gradient Descent.

    >>> scores, grades = torch.tensor([[3.0, 2.0, 1.0]]), torch.tensor([[0, 1, 2]])
    >>> ndcg(scores, grades), ndcg(scores, grades, k=1)
    (tensor([0.5869]), tensor([0.]))
    """
    ranked = _in_order_of(scores, relevance).double()
    low, high = torch.aminmax(ranked)
    if not (low >= 0 and high <= 1000):
        raise ValueError(
            f"relevance must be in [0, 1000], got grades from {low.item():.4g} to {high.item():.4g}"
        )
    gain = torch.exp2(ranked) - 1
    rank = _ranks(scores)
    counted = rank <= (scores.shape[-1] if k is None else whole("k", k))
    discount = counted / torch.log2(rank + 1)
    best = (gain.sort(dim=-1, descending=True).values * discount).sum(dim=-1)
    reached = (gain * discount).sum(dim=-1)
    return (reached / best.where(best > 0, 1)).to(scores.dtype)


def lists(scores: Tensor, relevance: Tensor) -> None:
    """Lists of scores, and a relevance of any real type for each item."""
    floating(scores=scores)
    if not isinstance(relevance, Tensor) or relevance.is_complex():
        came = relevance.dtype if isinstance(relevance, Tensor) else type(relevance).__name__
        raise TypeError(
            f"relevance must be a real torch.Tensor, got {came}: "
            "convert it with torch.as_tensor(relevance)"
        )
    same_shape(scores=scores, relevance=relevance)
    not_empty(scores=scores)


def _in_order_of(scores: Tensor, relevance: Tensor) -> Tensor:
    lists(scores, relevance)
    if scores.dim() == 0:
        raise ValueError("scores must hold lists in their last dimension, got a single number")
    if scores.isnan().any():
        raise ValueError("scores must be numbers, got NaN: no order can be told from it")
    order = scores.argsort(dim=-1, descending=True, stable=True)
    return relevance.gather(-1, order)


def _ranks(scores: Tensor) -> Tensor:
    return torch.arange(1, scores.shape[-1] + 1, dtype=torch.float64, device=scores.device)
