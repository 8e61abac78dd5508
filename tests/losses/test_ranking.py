"""Ranking: losses by hand, measures against loops and scikit-learn, and where the two disagree."""

import math
from fractions import Fraction

import pytest
import sklearn.metrics
import torch
import torch.nn.functional as F
from torch.testing import assert_close

import course_losses as cl


def tensor(*values: float | Fraction) -> torch.Tensor:
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


def graded_lists(n: int = 40, length: int = 9) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(6)
    scores = torch.randn(n, length, generator=generator, dtype=torch.float64)
    return scores, torch.randint(0, 5, (n, length), generator=generator)


# ---------------------------------------------------------------- losses


def test_pairwise_by_hand():
    better, worse = tensor(2, 0.5, 1, -3), tensor(0, 1, 1, 2)
    values = cl.PairwiseRankingLoss(reduction="none")(better, worse)
    assert_close(values, tensor(0, 1.5, 1, 6))
    assert_close(cl.PairwiseRankingLoss()(better, worse), tensor(8.5 / 4).squeeze())
    assert_close(cl.PairwiseRankingLoss(3, "sum")(better, worse), tensor(1 + 3.5 + 3 + 8).squeeze())
    assert_close(cl.PairwiseRankingLoss(0, "none")(better, worse), tensor(0, 0.5, 0, 5))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("margin", [0, 0.7, 2])
def test_pairwise_against_torch(reduction, margin):
    better, worse = graded_lists()[0].chunk(2)
    expected = F.margin_ranking_loss(
        better, worse, torch.ones_like(better), margin=margin, reduction=reduction
    )
    assert_close(cl.PairwiseRankingLoss(margin, reduction)(better, worse), expected)


@pytest.mark.parametrize(("lead", "expected"), [(-3.0, -1.0), (0.5, -1.0), (1.5, 0.0)])
def test_pairwise_gradient_by_hand(lead, expected):
    better = torch.tensor([lead], requires_grad=True)
    worse = torch.zeros(1, requires_grad=True)
    cl.PairwiseRankingLoss()(better, worse).backward()
    assert better.grad.item() == expected
    assert worse.grad.item() == -expected


def test_pairwise_of_any_size_in_float32():
    far = torch.tensor([1e4, 1e30])
    assert_close(cl.PairwiseRankingLoss(reduction="none")(-far, far), 1 + 2 * far)
    assert_close(cl.PairwiseRankingLoss(reduction="none")(far, -far), torch.zeros(2))


def test_listnet_by_hand():
    scores = torch.stack([tensor(1, 2, 5), tensor(1, 1, 2)]).log()  # firsts 1/8, 1/4, 5/8 | ...
    relevance = torch.stack([tensor(2, 1, 1), tensor(3, 1, 1)]).log()  # 1/2, 1/4, 1/4 | 3/5, ...
    first = math.log(8) / 2 + math.log(4) / 4 + math.log(8 / 5) / 4
    second = 4 / 5 * math.log(4) + math.log(2) / 5
    values = tensor(first, second)
    assert_close(cl.ListNetLoss("none")(scores, relevance), values)
    assert_close(cl.ListNetLoss("sum")(scores - 9, relevance + 5), values.sum())
    assert_close(cl.ListNetLoss()(scores, relevance), values.mean())


def test_listnet_against_a_loop_and_its_gradient():
    scores, grades = graded_lists()
    scores.requires_grad_()
    values = cl.ListNetLoss("none")(scores, grades)
    for value, s, r in zip(values.tolist(), scores.tolist(), grades.tolist(), strict=True):
        p, q = ([math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (s, r))
        expected = -sum(b * math.log(a) for a, b in zip(p, q, strict=True))
        assert value == pytest.approx(expected, rel=1e-12)
    values.sum().backward()
    assert_close(scores.grad, scores.detach().softmax(1) - grades.double().softmax(1))


def test_listnet_is_least_where_scores_are_the_relevance():
    _, grades = graded_lists()
    best = (grades + 7.0).double().requires_grad_()
    loss = cl.ListNetLoss("sum")(best, grades)
    loss.backward()
    assert_close(best.grad, torch.zeros_like(best))
    entropy = torch.distributions.Categorical(logits=grades.double()).entropy().sum()
    assert_close(loss, entropy)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_listnet_of_saturated_scores(dtype):
    scores = torch.tensor([[1e4, -1e4, 0]], dtype=dtype, requires_grad=True)
    loss = cl.ListNetLoss()(scores, torch.tensor([[0, 1e4, 0]], dtype=dtype))
    loss.backward()
    assert loss.item() == pytest.approx(2e4, rel=1e-3)
    assert_close(scores.grad, torch.tensor([[1, -1, 0]], dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.float16], ids=str)
def test_relevance_of_any_real_type(dtype):
    scores, grades = graded_lists()
    relevant = grades.clamp(max=1)
    for of in (cl.ListNetLoss(), cl.reciprocal_rank, cl.ndcg):
        assert_close(of(scores, relevant.to(dtype)), of(scores, relevant.double()))


# ---------------------------------------------------------------- measures


def in_order(scores: list[float], relevance: list[float]) -> list[float]:
    """Python's sort is stable: equal scores stay in order of position."""
    return [relevance[i] for i in sorted(range(len(scores)), key=lambda i: -scores[i])]


def dcg(ordered: list[float], k: int) -> float:
    return sum((2**r - 1) / math.log2(rank + 1) for rank, r in enumerate(ordered[:k], 1))


def test_reciprocal_rank_by_hand():
    scores = torch.tensor([[0.1, 0.9, 0.5], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    relevance = torch.tensor([[1, 0, 1], [2, 0, 0], [1, 0, 0], [0, 0, 0]])
    assert_close(cl.reciprocal_rank(scores, relevance), torch.tensor([1 / 2, 1, 1 / 3, 0]))


def test_ndcg_by_hand():
    scores, grades = tensor(3, 2, 1, 0)[None], torch.tensor([[0, 3, 2, 1]])
    reached = 7 / math.log2(3) + 3 / 2 + 1 / math.log2(5)
    best = 7 + 3 / math.log2(3) + 1 / 2
    assert_close(cl.ndcg(scores, grades), tensor(reached / best))
    assert_close(cl.ndcg(scores, grades, k=2), tensor(7 / math.log2(3) / (7 + 3 / math.log2(3))))
    assert_close(cl.ndcg(scores, grades, k=1), tensor(0))
    assert_close(cl.ndcg(-scores, grades, k=1), tensor(1 / 7))


@pytest.mark.parametrize("k", [None, 1, 2, 5, 9, 100])
def test_measures_against_a_loop(k):
    scores, grades = graded_lists()
    scores = scores.round()  # many ties
    for values in (grades, (grades - 3).clamp(min=0)):
        ranks, gains = [], []
        for s, r in zip(scores.tolist(), values.tolist(), strict=True):
            ordered = in_order(s, r)
            ranks.append(next((1 / i for i, x in enumerate(ordered, 1) if x > 0), 0))
            best = dcg(sorted(r, reverse=True), k or len(r))
            gains.append(dcg(ordered, k or len(r)) / best if best else 0)
        assert_close(cl.reciprocal_rank(scores, values), tensor(*ranks))
        assert_close(cl.ndcg(scores, values, k), tensor(*gains))


def test_grades_need_not_be_whole():
    scores, grades = tensor(1, 2, 3), tensor(0.5, 0, 0.25)
    half, quarter = 2**0.5 - 1, 2**0.25 - 1
    expected = (quarter + half / 2) / (half + quarter / math.log2(3))
    assert cl.ndcg(scores, grades).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [None, 1, 3, 9])
def test_ndcg_against_scikit_learn(k):
    scores, grades = graded_lists()
    gains = 2**grades - 1
    expected = sklearn.metrics.ndcg_score(gains, scores, k=k, ignore_ties=True)
    assert cl.ndcg(scores, grades, k).mean().item() == pytest.approx(expected, rel=1e-12)


def test_gain_is_exponential_and_not_the_grade():
    scores, grades = graded_lists()
    linear = sklearn.metrics.ndcg_score(grades, scores, ignore_ties=True)
    assert cl.ndcg(scores, grades).mean().item() < linear - 0.05


def test_equal_scores_keep_their_order():
    scores = torch.zeros(2, 40)
    scores[1, -1] = 1
    relevance = torch.zeros(2, 40)
    relevance[:, 24] = 1
    assert_close(cl.reciprocal_rank(scores, relevance), torch.tensor([1 / 25, 1 / 26]))
    expected = torch.tensor([1 / math.log2(26), 1 / math.log2(27)])
    assert_close(cl.ndcg(scores, relevance), expected)


def test_no_relevant_item_gives_zero():
    scores, nothing = torch.randn(3, 4), torch.zeros(3, 4)
    assert_close(cl.ndcg(scores, nothing), torch.zeros(3))
    assert_close(cl.reciprocal_rank(scores, nothing), torch.zeros(3))


@pytest.mark.parametrize("measure", [cl.ndcg, cl.reciprocal_rank])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_lists_in_any_number_of_dimensions(measure, dtype):
    scores, grades = graded_lists(6, 4)
    scores, grades = scores.to(dtype), (grades - 2).clamp(min=0)
    values = measure(scores, grades)
    assert values.dtype == dtype
    assert values.shape == (6,)
    assert_close(measure(scores.view(2, 3, 4), grades.view(2, 3, 4)), values.view(2, 3))
    assert_close(measure(scores[1], grades[1]), values[1])


def test_measures_leave_their_inputs_and_no_gradient():
    scores, grades = graded_lists()
    before = scores.clone(), grades.clone()
    scores.requires_grad_()
    assert not cl.ndcg(scores, grades).requires_grad
    assert not cl.reciprocal_rank(scores, grades).requires_grad
    assert_close((scores.detach(), grades), before)


@pytest.mark.parametrize("grade", [10, 100, 1000])
def test_large_grades(grade):
    scores, grades = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([grade - 1, grade, 0])
    discount = 1 / math.log2(3)
    expected = (0.5 + discount) / (1 + 0.5 * discount)
    assert cl.ndcg(scores, grades).item() == pytest.approx(expected, rel=1e-3)


# ---------------------------------------------------------------- where loss and measure disagree


def test_a_smaller_pairwise_loss_can_rank_worse():
    """Ten items scored 10 to 1; two relevant: the first and the last, or the fourth and fifth."""
    scores = torch.arange(10.0, 0, -1)
    losses, measures = [], []
    for relevant in ([0, 9], [3, 4]):
        relevance = torch.zeros(10)
        relevance[relevant] = 1
        pairs = torch.cartesian_prod(scores[relevance == 1], scores[relevance == 0])
        losses.append(cl.PairwiseRankingLoss()(*pairs.T).item())
        measures.append((cl.ndcg(scores, relevance).item(), cl.reciprocal_rank(scores, relevance)))
    assert losses == [2.75, 1.3125]
    assert measures[0] == pytest.approx((0.7904, 1.0), abs=5e-5)
    assert measures[1] == pytest.approx((0.5013, 0.25), abs=5e-5)


def test_defaults():
    assert repr(cl.PairwiseRankingLoss()) == "PairwiseRankingLoss(margin=1.0, reduction='mean')"
    assert repr(cl.ListNetLoss()) == "ListNetLoss(reduction='mean')"
