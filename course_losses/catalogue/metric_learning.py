"""The cards of the losses on embeddings and on rankings."""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from course_losses import metric_learning as losses
from course_losses import ranking
from course_losses.catalogue.card import LossCard, Problem, slope


def normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def embedded_pairs(generator: Generator, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    a = normal(generator, 24, 3)
    same = torch.randint(2, (24,), generator=generator)
    return a, a + scale * normal(generator, 24, 3), same


def triplets(generator: Generator, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    anchor = normal(generator, 24, 3)
    return anchor, anchor + scale * normal(generator, 24, 3), anchor + normal(generator, 24, 3)


def labelled(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    labels = torch.arange(12) % 3
    centres = normal(generator, 3, 3)
    return 2 * centres[labels] + scale * normal(generator, 12, 3), labels


def views(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    """Six pairs of views of any length: alike at small scales, at large ones as wrong as can be."""
    length = 10 ** torch.randint(-4, 2, (), generator=generator).double()
    directions = torch.eye(6, dtype=torch.float64)
    a, b = (directions + min(scale, 1.0) * normal(generator, 6, 6) for _ in range(2))
    if scale > 100:  # the first pair is opposite, and everything else sits on its partner
        a = directions[0] * torch.tensor([1.0, -1, -1, -1, -1, -1]).double()[:, None]
        b = -a
    return length * a, length * b


def score_pairs(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    return scale * normal(generator, 24), scale * normal(generator, 24)


def score_lists(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    relevance = torch.randint(5, (24, 6), generator=generator) * 10.0 ** (scale > 1)
    return scale * normal(generator, 24, 6), relevance.double()


def apart_by_the_margin(loss: Any, generator: Generator) -> Problem:
    same = torch.tensor([1, 0, 1, 0])
    best = torch.zeros(2, 4, 2, dtype=torch.float64)
    best[1, same == 0, 0] = 1.5 * loss.margin
    others = loss.margin * torch.randn(90, 2, 4, 2, generator=generator)
    return Problem(lambda pair: loss(pair[0], pair[1], same), best, others)


def closer_by_the_margin(loss: Any, generator: Generator) -> Problem:
    best = torch.zeros(3, 4, 2, dtype=torch.float64)
    best[2, :, 0] = 1.5 * loss.margin
    others = loss.margin * torch.randn(90, 3, 4, 2, generator=generator)
    return Problem(lambda triplet: loss(*triplet), best, others)


def one_point_a_class(loss: Any, generator: Generator) -> Problem:
    labels = torch.arange(9) % 3
    centres = 2 * loss.margin * torch.eye(3, dtype=torch.float64)
    others = loss.margin * torch.randn(90, 9, 3, generator=generator)
    return Problem(lambda x: loss(x, labels), centres[labels], others)


def opposite_pairs(loss: Any, generator: Generator) -> Problem:
    direction = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    others = torch.randn(60, 2, 2, 2, generator=generator)
    return Problem(lambda pair: loss(pair[0], pair[1]), torch.stack([direction] * 2), others)


def a_lead_of_the_margin(loss: Any, generator: Generator) -> Problem:
    best = torch.stack([torch.full((4,), 2.0 * loss.margin), torch.zeros(4)]).double()
    others = loss.margin * torch.randn(90, 2, 4, generator=generator)
    return Problem(lambda pair: loss(pair[0], pair[1]), best, others)


def the_relevance_itself(loss: Any, generator: Generator) -> Problem:
    relevance = torch.randint(5, (1, 6), generator=generator).double()
    others = 3 * torch.randn(60, 1, 6, generator=generator)
    return Problem(lambda scores: loss(scores, relevance), relevance + 7, others)


# ---------------------------------------------------------------- known failures


def stuck_in_one_point() -> bool:
    """Two different examples in one point are not pushed apart: there is no direction to go."""
    point = torch.ones(1, 2)
    loss = losses.ContrastiveLoss()
    value, gradient = (
        loss(point, point, torch.tensor([0])),
        slope(loss, point, point, torch.zeros(1)),
    )
    return value.item() == 0.5 and not gradient.any()


def collapse_costs_the_margin() -> bool:
    """A network that maps everything to one point costs exactly the margin, with gradient 0."""
    point = torch.ones(4, 2)
    loss = losses.TripletLoss(margin=0.7)
    stays = not slope(loss, point, point, point).any()
    return stays and math.isclose(loss(point, point, point).item(), 0.7, rel_tol=1e-6)


def one_wrong_label_is_the_hardest() -> bool:
    """One wrong label among 12 raises a loss of 0 to 1.33: it is every anchor's hardest case."""
    labels = torch.arange(12) // 6
    points = 4 * labels[:, None].double()
    clean = losses.OnlineTripletLoss()(points, labels)
    labels[0] = 1
    value = float(losses.OnlineTripletLoss()(points, labels))
    return bool(clean == 0) and abs(value - 4 / 3) < 1e-9


def pushes_apart_what_is_alike() -> bool:
    """Two examples of one class are pushed apart like strangers: only views of one are partners."""
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1]])
    pushed = slope(losses.NTXentLoss(), z, z.clone())
    return bool((pushed[0] @ torch.tensor([0.0, 1.0])) > 0)


def small_batches_are_easy() -> bool:
    """Knowing nothing costs log N: a loss of 2 is chance for 8 pairs, and good for 1000."""
    same = torch.ones(8, 2)
    return math.isclose(losses.InfoNCELoss()(same, same).item(), math.log(8), rel_tol=1e-5)


def better_loss_worse_ranking() -> bool:
    """Nine pairs won below the margin cost less than one lost at the top, where NDCG looks."""
    relevance = torch.tensor([[1, 0, 0, 0]])
    first, second = torch.tensor([[0.1, 0.0, 0, 0]]), torch.tensor([[3.0, 3.2, 0, 0]])
    costs = [
        ranking.PairwiseRankingLoss()(s[:, :1].expand(1, 3), s[:, 1:]).item()
        for s in (first, second)
    ]
    measures = [ranking.ndcg(s, relevance).item() for s in (first, second)]
    return costs[0] > costs[1] and measures[0] > measures[1]


def hardly_cares_for_binary_relevance() -> bool:
    """One relevant item among ten gets 0.23 of the weight; nine others share the rest."""
    relevance = torch.eye(10)[:1]
    weight = -slope(ranking.ListNetLoss(), torch.zeros(1, 10), relevance)[0, 0].item() + 0.1
    return abs(weight - 0.23) < 0.005


CARDS = [
    LossCard(
        loss=losses.ContrastiveLoss,
        formula=r"\tfrac12 [y d^2 + (1 - y) \max(0, m - d)^2]",
        domain="embeddings, not normalised",
        range=("0", "inf"),
        minimiser="distance 0 for what is the same, at least the margin for the rest",
        convex=False,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="verification: are these two the same?",
        avoid="batches with labels: OnlineTripletLoss and NTXentLoss use many more pairs",
        failure=stuck_in_one_point,
        inputs=embedded_pairs,
        problem=apart_by_the_margin,
        predictions=2,
        examples=({}, {"margin": 0.3}),
    ),
    LossCard(
        loss=losses.TripletLoss,
        formula=r"\max(0, d(a, p) - d(a, n) + m)",
        domain="embeddings",
        range=("0", "inf"),
        minimiser="a positive that is closer than the negative by the margin",
        convex=False,
        gradient_bound="2",
        activation="none",
        torch="F.triplet_margin_loss(anchor, positive, negative, margin=margin, eps=0)",
        use="triplets that you have chosen yourself",
        avoid="random triplets: soon most of them cost nothing",
        failure=collapse_costs_the_margin,
        inputs=triplets,
        problem=closer_by_the_margin,
        predictions=3,
        examples=({}, {"margin": 0.3}),
    ),
    LossCard(
        loss=losses.OnlineTripletLoss,
        formula=r"\max(0, \max_p d(a, p) - \min_n d(a, n) + m)",
        domain="embeddings",
        range=("0", "inf"),
        minimiser="each class in one point, the points more than the margin apart",
        convex=False,
        gradient_bound="2",
        activation="none",
        torch=None,
        use="labelled batches with several examples of each class",
        avoid="noisy labels with hard mining",
        failure=one_wrong_label_is_the_hardest,
        inputs=labelled,
        problem=one_point_a_class,
        examples=({}, {"margin": 0.3}),
    ),
    LossCard(
        loss=losses.NTXentLoss,
        formula=r"-\log \frac{e^{s_{ij} / \tau}}{\sum_{k \ne i} e^{s_{ik} / \tau}}",
        domain="embeddings of any length",
        range=("0", "2 / temperature + log(2 * N - 1)"),
        minimiser="partners in one direction, strangers as far from it as they can be",
        convex=False,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="learning without labels, from two views of each example",
        avoid="small batches, and batches full of examples of one class",
        failure=pushes_apart_what_is_alike,
        inputs=views,
        problem=opposite_pairs,
        predictions=2,
        examples=({"temperature": 0.1}, {"temperature": 0.05}),
    ),
    LossCard(
        loss=losses.InfoNCELoss,
        formula=r"-\log \frac{e^{s_{ii} / \tau}}{\sum_k e^{s_{ik} / \tau}}",
        domain="embeddings of any length",
        range=("0", "2 / temperature + log(N)"),
        minimiser="partners in one direction, strangers as far from it as they can be",
        convex=False,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="pairs from two encoders: pictures and texts, queries and documents",
        avoid="comparing its value between batch sizes",
        failure=small_batches_are_easy,
        inputs=views,
        problem=opposite_pairs,
        predictions=2,
        examples=({}, {"temperature": 0.1}),
    ),
    LossCard(
        loss=ranking.PairwiseRankingLoss,
        formula=r"\max(0, m - (s^+ - s^-))",
        domain="any real numbers (scores)",
        range=("0", "inf"),
        minimiser="any scores with a lead of at least the margin",
        convex=True,
        gradient_bound="1",
        activation="none",
        torch="F.margin_ranking_loss("
        "positive_scores, negative_scores, torch.ones_like(positive_scores), margin=margin)",
        use="preferences between two items: clicked and skipped, better and worse",
        avoid="when only the top of the list counts",
        failure=better_loss_worse_ranking,
        inputs=score_pairs,
        problem=a_lead_of_the_margin,
        predictions=2,
        examples=({}, {"margin": 0.3}),
    ),
    LossCard(
        loss=ranking.ListNetLoss,
        formula=r"-\sum_j \operatorname{softmax}(r)_j \log \operatorname{softmax}(s)_j",
        domain="any real numbers (scores)",
        range=("0", "inf"),
        minimiser="the relevance, up to a constant",
        convex=True,
        gradient_bound="1",
        activation="none",
        torch="F.cross_entropy(scores, relevance.softmax(1))",
        use="lists with graded relevance, when the top counts most",
        avoid="relevance of 0 and 1 as it is: multiply it first",
        failure=hardly_cares_for_binary_relevance,
        inputs=score_lists,
        problem=the_relevance_itself,
    ),
]
