"""Losses on embeddings: what is alike ends up close, what differs far apart."""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from course_losses.checks import (
    dimensions,
    floating,
    not_empty,
    one_of,
    same_shape,
    within,
    zeros_and_ones,
)
from course_losses.loss import Loss, Reduction, in_float32

Mining = Literal["hard", "all", "semi-hard"]


def embeddings_in_rows(**tensors: Tensor) -> None:
    """Every argument is a batch of embeddings, (N, D), all of one shape."""
    floating(**tensors)
    dimensions(2, 2, **tensors)
    same_shape(**tensors)
    not_empty(**tensors)


def row_distances(a: Tensor, b: Tensor) -> Tensor:
    """How far each row of ``a`` is from the same row of ``b``; the slope at distance 0 is 0."""
    difference = a - b
    size = _largest_entries(difference)  # the square of 1e20 would overflow, that of 1e-25 vanish
    length: Tensor = torch.linalg.vector_norm(difference / size, dim=-1)
    return size.squeeze(-1) * length


def pairwise_distances(x: Tensor) -> Tensor:
    """How far all rows are from each other, from differences: nothing cancels far from 0."""
    exponent = torch.frexp(x.abs().max()).exponent
    scale = torch.ldexp(torch.ones((), dtype=x.dtype, device=x.device), exponent)
    above_diagonal = torch.ones(len(x), len(x), dtype=torch.bool, device=x.device).triu(1)
    upper = torch.zeros_like(above_diagonal, dtype=x.dtype)
    upper = upper.masked_scatter(above_diagonal, scale * F.pdist(x / scale))
    return upper + upper.T


def unit_rows(z: Tensor) -> Tensor:
    """The rows scaled to length 1; a row of zeros stays as it is."""
    z = z / _largest_entries(z)
    length: Tensor = torch.linalg.vector_norm(z, dim=1, keepdim=True)
    return z / length.where(length > 0, 1)


def _largest_entries(x: Tensor) -> Tensor:
    size = x.detach().abs().amax(dim=-1, keepdim=True)
    return size.where(size > 0, 1)


class ContrastiveLoss(Loss):
    r"""Pulls pairs that are the same together, and pushes the others at least ``margin`` apart.

    .. math::
        \ell(a, b, y) = \tfrac12 \bigl[ y\, d^2 + (1 - y) \max(0, m - d)^2 \bigr]
        \qquad d = \lVert a - b \rVert_2

    The gradient is the spring's: :math:`d` pulls a pair that is the same together,
    :math:`m - d` pushes another apart, and beyond the margin nothing acts. Two coincident points
    have no direction: there the gradient is 0, also for a pair that should part.

    Args:
        margin: the distance :math:`m` beyond which different pairs are left alone, > 0.
        reduction: "mean", "sum" or "none".

    Shape:
        embeddings_a, embeddings_b: :math:`(N, D)`. same: :math:`(N)`, 1 or True for pairs that are
        the same, 0 or False for others, in any type. Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, \infty)`, in squared units of the embedding.

    Raises:
        ValueError: ``margin`` is not positive, ``same`` is neither 0 nor 1, the shapes do not fit,
            or the batch is empty.
        TypeError: an embedding is not a floating-point tensor.

    Convention:
        :math:`y = 1` means the same. The paper writes :math:`Y = 0` for it. Code without the ½ is
        twice this loss.

    Source:
        Hadsell, Chopra & LeCun (2006), Dimensionality Reduction by Learning an Invariant Mapping,
        §2.

    >>> a, b = torch.tensor([[0.0, 0.0], [0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    >>> ContrastiveLoss(margin=1.0, reduction="none")(a, b, torch.tensor([1, 0]))
    tensor([12.5000,  0.1250])
    """

    def __init__(self, margin: float = 1.0, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.margin = within("margin", margin, "(0, inf)")

    @in_float32
    def forward(self, embeddings_a: Tensor, embeddings_b: Tensor, same: Tensor) -> Tensor:
        embeddings_in_rows(embeddings_a=embeddings_a, embeddings_b=embeddings_b)
        zeros_and_ones(same=same)
        _one_per_row(embeddings_a, same=same)
        distance = row_distances(embeddings_a, embeddings_b)
        missing = (self.margin - distance).clamp(min=0)
        return self.reduce(0.5 * torch.where(same == 1, distance, missing) ** 2)


class TripletLoss(Loss):
    r"""Wants the anchor closer to the positive than to the negative, by a ``margin``.

    .. math::
        \ell(a, p, n) = \max\bigl(0,\ d(a, p) - d(a, n) + m\bigr)
        \qquad d(x, y) = \lVert x - y \rVert_2

    As long as the margin is violated the gradient pulls :math:`p` and pushes :math:`n` with unit
    force, however far they are (in proportion to the distance if ``squared``). Coincident points
    have no direction: their distance has gradient 0.

    Args:
        margin: the lead :math:`m` that the positive must have, > 0, in units of the distance.
        squared: compare squared distances, as FaceNet does. It is another loss, not a rescaling.
        reduction: "mean", "sum" or "none".

    Shape:
        anchor, positive, negative: :math:`(N, D)`. Result: scalar; :math:`(N)` for "none".

    Range:
        :math:`[0, \infty)`. All embeddings in one point cost exactly ``margin``: a loss that
        stays there has collapsed.

    Raises:
        ValueError: ``margin`` is not positive, the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        "mean" divides by the number of triplets, those without loss included. Nothing is
        normalised here, so a margin means what the length of your embeddings makes of it.

    Source:
        Schroff, Kalenichenko & Philbin (2015), FaceNet, §3.1 (squared); Hermans, Beyer & Leibe
        (2017), In Defense of the Triplet Loss for Person Re-Identification, §2 (Euclidean).

    >>> a, p, n = torch.tensor([[0.0]]), torch.tensor([[2.0]]), torch.tensor([[2.3]])
    >>> TripletLoss(margin=1.0)(a, p, n), TripletLoss(margin=1.0, squared=True)(a, p, n)
    (tensor(0.7000), tensor(0.))
    """

    def __init__(
        self, margin: float = 1.0, squared: bool = False, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.margin = within("margin", margin, "(0, inf)")
        self.squared = squared

    @in_float32
    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        embeddings_in_rows(anchor=anchor, positive=positive, negative=negative)
        return self.reduce(
            hinge(anchor, torch.stack([positive, negative]), self.margin, self.squared)
        )


def hinge(anchor: Tensor, others: Tensor, margin: float, squared: bool) -> Tensor:
    """What each row's positive, ``others[0]``, lacks of a lead of ``margin`` on ``others[1]``."""
    distance = row_distances(anchor, others)
    pull, push = distance**2 if squared else distance
    lacking: Tensor = pull - push + margin
    return lacking.clamp(min=0)


class OnlineTripletLoss(Loss):
    r"""The triplet loss over the triplets that a labelled batch holds, chosen by ``mining``.

    .. math::
        \ell(a, p, n) = \max\bigl(0,\ d(a, p) - d(a, n) + m\bigr)
        \qquad y_p = y_a \ne y_n,\ p \ne a

    "hard" takes for each anchor its farthest positive and its nearest negative; "all" every
    triplet with a positive loss; "semi-hard" every triplet with
    :math:`d(a, p) < d(a, n) < d(a, p) + m`. The gradient is the triplet loss's; choosing has none.

    Args:
        margin: the lead :math:`m` that the positive must have, > 0, in units of the distance.
        mining: "hard", "all" or "semi-hard".
        squared: compare squared distances.
        reduction: "mean", "sum" or "none".

    Shape:
        embeddings: :math:`(N, D)`. labels: :math:`(N)`, integer. Result: scalar; :math:`(N)` for
        "none": for each anchor the sum over its chosen triplets, 0 where it has none.

    Range:
        :math:`[0, \infty)`.

    Raises:
        ValueError: ``margin`` is not positive, ``mining`` is unknown, the shapes do not fit, or
            the batch is empty.
        TypeError: the embeddings are not floating point, or the labels no integers.

    Convention:
        "mean" divides by the number of chosen triplets: for "hard" the anchors that have both a
        positive and a negative, also where their loss is 0. A batch without a valid triplet gives
        a 0 that back-propagates. Memory is that of the pair matrix: "all" and "semi-hard" count,
        for each pair, the triplets that it belongs to, and never list them.

    Source:
        Hermans, Beyer & Leibe (2017), In Defense of the Triplet Loss for Person
        Re-Identification, §2 (batch hard, batch all, the mean over losses that are not zero);
        Schroff, Kalenichenko & Philbin (2015), FaceNet, §3.2 (semi-hard).

    >>> embeddings, labels = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([0, 0, 1])
    >>> OnlineTripletLoss(margin=1.5, reduction="none")(embeddings, labels)
    tensor([0.0000, 0.5000, 0.0000])
    """

    def __init__(
        self,
        margin: float = 1.0,
        mining: Mining = "hard",
        squared: bool = False,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.margin = within("margin", margin, "(0, inf)")
        self.mining = one_of("mining", mining, get_args(Mining))
        self.squared = squared

    @in_float32
    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        embeddings_in_rows(embeddings=embeddings)
        _integers(labels=labels)
        _one_per_row(embeddings, labels=labels)
        same = labels[:, None] == labels
        positive = same.clone().fill_diagonal_(False)
        choose = self._hardest if self.mining == "hard" else self._every
        values, count = choose(embeddings, positive, ~same)
        return (
            values.sum() / count.clamp(min=1) if self.reduction == "mean" else self.reduce(values)
        )

    def _hardest(self, x: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            distance = pairwise_distances(x)
            farthest = distance.masked_fill(~positive, -1).argmax(dim=1)
            nearest = distance.masked_fill(~negative, math.inf).argmin(dim=1)
        valid = positive.any(dim=1) & negative.any(dim=1)
        values = hinge(x, x[torch.stack([farthest, nearest])], self.margin, self.squared)
        return values.where(valid, 0), valid.sum()

    def _every(self, x: Tensor, positive: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
        distance = pairwise_distances(x) ** (2 if self.squared else 1)
        d = distance.detach()
        positives = d.masked_fill(~positive, math.inf).sort(dim=1).values
        negatives = d.masked_fill(~negative, math.inf).sort(dim=1).values
        # The negatives below d(a, p) + m, and the positives whose d(a, p) + m is above d(a, n):
        as_positive = torch.searchsorted(negatives, d + self.margin)
        as_negative = positive.sum(dim=1, keepdim=True) - torch.searchsorted(
            positives + self.margin, d, right=True
        )
        if self.mining == "semi-hard":  # without the negatives up to d(a, p)
            as_positive -= torch.searchsorted(negatives, d, right=True)
            as_negative -= positive.sum(dim=1, keepdim=True) - torch.searchsorted(positives, d)
        times = as_positive * positive - as_negative * negative
        triplets = (as_positive * positive).sum(dim=1)
        return (times * distance).sum(dim=1) + self.margin * triplets, triplets.sum()


class NTXentLoss(Loss):
    r"""Finds each view's partner among all other views of the batch, both batches together.

    .. math::
        \ell_i = -\log \frac{e^{s_{ij} / \tau}}{\sum_{k \ne i} e^{s_{ik} / \tau}}
        \qquad s_{ik} = \frac{z_i^\top z_k}{\lVert z_i \rVert\, \lVert z_k \rVert}

    over the :math:`2N` views, :math:`j` being the partner of :math:`i`. The gradient pulls the
    partner, and pushes each other view in proportion to its share of the sum: a small
    :math:`\tau` concentrates the push on the most similar ones.

    Args:
        temperature: :math:`\tau`, > 0.
        reduction: "mean", "sum" or "none".

    Shape:
        z_a, z_b: :math:`(N, D)`, row :math:`i` of each a view of the same example. Result: scalar;
        :math:`(2N)` for "none", the views of z_a first.

    Range:
        :math:`[0, 2 / \tau + \log(2N - 1)]`. Perfect pairs reach 0 as :math:`\tau` goes to 0; a
        single pair has no negatives and costs 0.

    Raises:
        ValueError: ``temperature`` is not positive, the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        Normalises the rows by itself (a row of zeros has cosine 0 with all). The anchor is left
        out of its sum and the partner counted once: code that keeps the one or doubles the other
        cannot go below :math:`\log 2`.

    Source:
        Chen et al. (2020), A Simple Framework for Contrastive Learning of Visual Representations,
        Eq. (1).

    >>> NTXentLoss(temperature=0.5)(torch.eye(2), torch.eye(2))  # log(e^2 + 2) - 2
    tensor(0.2395)
    """

    def __init__(self, temperature: float = 0.5, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.temperature = within("temperature", temperature, "(0, inf)")

    @in_float32
    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        embeddings_in_rows(z_a=z_a, z_b=z_b)
        z = unit_rows(torch.cat([z_a, z_b]))
        logits = ((z / self.temperature) @ z.T).fill_diagonal_(-math.inf)
        partner = torch.arange(len(z), device=z.device).roll(len(z_a))
        return F.cross_entropy(logits, partner, reduction=self.reduction)


class InfoNCELoss(Loss):
    r"""Finds each row's partner among the rows of the other view.

    .. math::
        \ell_i = -\tfrac12 \left[ \log \frac{e^{s_{ii} / \tau}}{\sum_k e^{s_{ik} / \tau}}
            + \log \frac{e^{s_{ii} / \tau}}{\sum_k e^{s_{ki} / \tau}} \right]
        \qquad s_{ik} = \frac{a_i^\top b_k}{\lVert a_i \rVert\, \lVert b_k \rVert}

    The gradient pulls the partner, and pushes each other row of the other view in proportion to
    its share of the sum.

    Args:
        temperature: :math:`\tau`, > 0.
        symmetric: the mean of both directions, as CLIP; False: only rows of z_a looking for their
            partner in z_b, the first term without the ½.
        reduction: "mean", "sum" or "none".

    Shape:
        z_a, z_b: :math:`(N, D)`, row :math:`i` of each belonging together. Result: scalar;
        :math:`(N)` for "none".

    Range:
        :math:`[0, 2 / \tau + \log N]`. Perfect pairs reach 0 as :math:`\tau` goes to 0.

    Raises:
        ValueError: ``temperature`` is not positive, the shapes differ, or the batch is empty.
        TypeError: an argument is not a floating-point tensor.

    Convention:
        Normalises the rows by itself (a row of zeros has cosine 0 with all). Negatives come from
        the other view only; :class:`NTXentLoss` takes them from both.

    Source:
        van den Oord, Li & Vinyals (2018), Representation Learning with Contrastive Predictive
        Coding, §2.3; symmetric: Radford et al. (2021), Learning Transferable Visual Models From
        Natural Language Supervision, Figure 3.

    >>> InfoNCELoss(temperature=0.5)(torch.eye(2), torch.eye(2))  # log(e^2 + 1) - 2
    tensor(0.1269)
    """

    def __init__(
        self, temperature: float = 0.07, symmetric: bool = True, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction)
        self.temperature = within("temperature", temperature, "(0, inf)")
        self.symmetric = symmetric

    @in_float32
    def forward(self, z_a: Tensor, z_b: Tensor) -> Tensor:
        embeddings_in_rows(z_a=z_a, z_b=z_b)
        logits = (unit_rows(z_a) / self.temperature) @ unit_rows(z_b).T
        partner = torch.arange(len(z_a), device=z_a.device)
        found = F.cross_entropy(logits, partner, reduction=self.reduction)
        if not self.symmetric:
            return found
        return 0.5 * (found + F.cross_entropy(logits.T, partner, reduction=self.reduction))


def _one_per_row(embeddings: Tensor, **tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if tensor.shape != embeddings.shape[:1]:
            raise ValueError(
                f"{name} must have shape ({len(embeddings)},), one value per embedding, "
                f"got {tuple(tensor.shape)}"
            )


def _integers(**tensors: Tensor) -> None:
    for name, tensor in tensors.items():
        if not isinstance(tensor, Tensor) or tensor.dtype.is_floating_point:
            came = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
            raise TypeError(
                f"{name} must be an integer torch.Tensor, got {came}: "
                f"convert it with torch.as_tensor({name}).long()"
            )
