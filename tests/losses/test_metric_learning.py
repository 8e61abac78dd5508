"""Metric learning: numbers by hand, loops over all triplets, points far away or on one spot."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from losses.tables.metric_learning import labelled, pairs, views
from losses.tables.metric_learning import triplets as triples
from torch.testing import assert_close

import course_losses as cl
from course_losses.metric_learning import pairwise_distances, row_distances, unit_rows

MININGS = ["hard", "all", "semi-hard"]


def tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(inputs, seed: int = 3) -> tuple[torch.Tensor, ...]:
    return inputs(torch.Generator().manual_seed(seed))


def on_a_line(*places: float) -> torch.Tensor:
    return tensor(*places)[:, None]


# ---------------------------------------------------------------- values worked out by hand


def test_contrastive_by_hand():
    a = torch.zeros(4, 2, dtype=torch.float64)
    b = torch.tensor([[3.0, 4.0], [0.3, 0.4], [3.0, 4.0], [0.0, 0.0]], dtype=torch.float64)
    same = torch.tensor([1, 1, 0, 0])
    values = cl.ContrastiveLoss(margin=2, reduction="none")
    assert_close(values(a, b, same), tensor(12.5, 0.125, 0, 2))
    assert_close(values(a, b, 1 - same), tensor(0, 1.125, 12.5, 0))
    assert_close(cl.ContrastiveLoss()(a, b, same), tensor((12.5 + 0.125 + 0 + 0.5) / 4).squeeze())


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.int64, torch.float32], ids=str)
def test_same_is_yes_or_no_in_any_type(dtype):
    a, b, same = drawn(pairs)
    assert_close(cl.ContrastiveLoss()(a, b, same.to(dtype)), cl.ContrastiveLoss()(a, b, same))


def test_triplet_by_hand():
    a, p, n = on_a_line(0, 0, 0), on_a_line(2, -1, 1), on_a_line(2.3, 3, -0.5)
    assert_close(cl.TripletLoss(reduction="none")(a, p, n), tensor(0.7, 0, 1.5))
    squared = cl.TripletLoss(squared=True, reduction="none")
    assert_close(squared(a, p, n), tensor(0, 0, 1.75))
    assert_close(cl.TripletLoss(margin=2)(a, p, n), tensor((1.7 + 0 + 2.5) / 3).squeeze())


LINE, OWNERS = on_a_line(0, 1, 3, 3.5, 4.5), torch.tensor([7, 7, 2, 7, 2])
# Distances from 0, 1 and 3.5 (label 7) to each other and to 3 and 4.5 (label 2), and back.
CHOSEN = {  # margin 1.5: for each anchor, what its triplets cost, and how many of them there are
    "hard": ([3.5 - 3 + 1.5, 2.5 - 2 + 1.5, 3.5 - 0.5 + 1.5, 1.5 - 0.5 + 1.5, 1.5 - 1 + 1.5], 5),
    "all": (
        [
            (3.5 - 3 + 1.5) + (3.5 - 4.5 + 1.5),
            (1 - 2 + 1.5) + (2.5 - 2 + 1.5) + (2.5 - 3.5 + 1.5),
            (1.5 - 0.5 + 1.5) + (1.5 - 2 + 1.5),
            (3.5 - 0.5 + 1.5) + (3.5 - 1 + 1.5) + (2.5 - 0.5 + 1.5) + (2.5 - 1 + 1.5),
            1.5 - 1 + 1.5,
        ],
        12,
    ),
    "semi-hard": (
        [3.5 - 4.5 + 1.5, (1 - 2 + 1.5) + (2.5 - 3.5 + 1.5), 1.5 - 2 + 1.5, 0, 0],
        4,
    ),
}
CHOSEN["hard"][0][2] = 1.5 - 0.5 + 1.5  # from 3: its positive is 4.5, its nearest negative 3.5
CHOSEN["hard"][0][3] = 3.5 - 0.5 + 1.5  # from 3.5: its farthest positive is 0


@pytest.mark.parametrize("mining", MININGS)
def test_mined_triplets_by_hand(mining):
    values, count = CHOSEN[mining]
    order = tensor(*values)
    assert_close(cl.OnlineTripletLoss(1.5, mining, reduction="none")(LINE, OWNERS), order)
    assert_close(cl.OnlineTripletLoss(1.5, mining, reduction="sum")(LINE, OWNERS), order.sum())
    assert_close(cl.OnlineTripletLoss(1.5, mining)(LINE, OWNERS), order.sum() / count)


def test_the_hardest_positive_may_coincide_with_its_anchor():
    x, labels = on_a_line(5, 0, 0), torch.tensor([1, 0, 0])
    assert_close(cl.OnlineTripletLoss(margin=6)(x, labels), tensor(0 - 5 + 6).squeeze())


def test_hard_averages_over_the_anchors_that_have_both():
    x, labels = on_a_line(0, 1, 9), torch.tensor([0, 0, 1])
    values = cl.OnlineTripletLoss(margin=10, reduction="none")(x, labels)
    assert_close(values, tensor(1 - 9 + 10, 1 - 8 + 10, 0))
    assert_close(cl.OnlineTripletLoss(margin=10)(x, labels), tensor((2 + 3) / 2).squeeze())
    assert_close(cl.OnlineTripletLoss(margin=7.5)(x, labels), tensor((0 + 0.5) / 2).squeeze())
    assert_close(cl.OnlineTripletLoss(7.5, "all")(x, labels), tensor(0.5).squeeze())


def test_nt_xent_by_hand():
    e = torch.eye(2, dtype=torch.float64)
    perfect = math.log(math.exp(2) + 2) - 2
    assert cl.NTXentLoss(0.5)(e, e).item() == pytest.approx(perfect, rel=1e-12)
    a, b = tensor(3, 0, 0, 2).reshape(2, 2), tensor(0, 1, 0, 5).reshape(2, 2)  # rows x y | y y
    values = cl.NTXentLoss(0.5, reduction="none")(a, b)
    crowd = math.log(1 + 2 * math.exp(2))  # y beside x and two y
    expected = tensor(math.log(3), crowd - 2, crowd, crowd - 2)
    assert_close(values, expected)
    assert_close(cl.NTXentLoss(0.5)(a, b), expected.mean())
    assert_close(cl.NTXentLoss(0.5, "sum")(a, b), expected.sum())


def test_infonce_by_hand():
    e = torch.eye(2, dtype=torch.float64)
    perfect = math.log(math.exp(2) + 1) - 2
    assert cl.InfoNCELoss(0.5)(e, e).item() == pytest.approx(perfect, rel=1e-12)
    a, b = tensor(3, 0, 0, 2).reshape(2, 2), tensor(0, 1, 0, 5).reshape(2, 2)
    there = tensor(math.log(2), math.log(2))  # x sees y, y; y sees y, y
    back = tensor(math.log(math.exp(2) + 1), math.log(math.exp(2) + 1) - 2)  # each y sees x, y
    one_way = cl.InfoNCELoss(0.5, symmetric=False, reduction="none")
    assert_close(one_way(a, b), there)
    assert_close(one_way(b, a), back)
    assert_close(cl.InfoNCELoss(0.5, reduction="none")(a, b), (there + back) / 2)
    assert_close(cl.InfoNCELoss(0.5, symmetric=False)(b, a), back.mean())
    assert_close(cl.InfoNCELoss(0.5)(a, b), (there + back).mean() / 2)


def test_eight_ideal_pairs_against_the_numbers_of_the_formula():
    e = torch.eye(8, dtype=torch.float64)
    assert cl.NTXentLoss(0.5)(e, e).item() == pytest.approx(1.0629, abs=5e-5)
    assert cl.NTXentLoss(0.07)(e, e).item() == pytest.approx(8.7e-6, rel=1e-2)


# ---------------------------------------------------------------- oracles


def mined_by_a_loop(x, labels, margin, mining, squared) -> tuple[float, int, list[float]]:
    """Every triplet looked at, one after the other."""
    far = [[math.dist(p, q) ** (1 + squared) for q in x.tolist()] for p in x.tolist()]
    everyone, own = range(len(x)), labels.tolist()
    values, count = [0.0] * len(x), 0
    for a in everyone:
        mates = [p for p in everyone if p != a and own[p] == own[a]]
        strangers = [n for n in everyone if own[n] != own[a]]
        if mining == "hard":
            if mates and strangers:
                hardest = max(far[a][p] for p in mates) - min(far[a][n] for n in strangers)
                values[a] = max(0.0, hardest + margin)
                count += 1
            continue
        for p, n in product(mates, strangers):
            loss = far[a][p] - far[a][n] + margin
            if loss > 0 and (mining == "all" or far[a][p] < far[a][n]):
                values[a] += loss
                count += 1
    return sum(values) / max(count, 1), count, values


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("margin", [0.2, 1.0, 5.0])
def test_mining_against_a_loop(mining, squared, margin):
    generator, triplets = torch.Generator().manual_seed(5), 0
    for size, classes in [(9, 3), (17, 4), (30, 15)]:
        x = torch.randn(size, 4, generator=generator, dtype=torch.float64)
        labels = torch.randint(-2, classes, (size,), generator=generator)
        mean, count, values = mined_by_a_loop(x, labels, margin, mining, squared)
        triplets += count
        assert_close(cl.OnlineTripletLoss(margin, mining, squared)(x, labels).item(), mean)
        loss = cl.OnlineTripletLoss(margin, mining, squared, "none")
        assert_close(loss(x, labels), tensor(*values))
    assert triplets > 10


@pytest.mark.parametrize("mining", MININGS)
def test_equal_distances_are_chosen_as_the_definition_says(mining):
    corners = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [2, 1]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1, 0, 1])
    for margin in (1.0, 0.5, 3.0):
        mean, _, values = mined_by_a_loop(corners, labels, margin, mining, squared=True)
        loss = cl.OnlineTripletLoss(margin, mining, squared=True)(corners, labels)
        assert_close(loss.item(), mean)
        loss = cl.OnlineTripletLoss(margin, mining, squared=True, reduction="none")
        assert_close(loss(corners, labels), tensor(*values))


def test_gradient_of_all_triplets_is_that_of_the_listed_ones():
    x, labels = drawn(labelled)
    for squared in (False, True):
        for mining in ("all", "semi-hard"):
            counted, listed = x.clone().requires_grad_(), x.clone().requires_grad_()
            cl.OnlineTripletLoss(0.8, mining, squared, "sum")(counted, labels).backward()
            total = torch.zeros((), dtype=torch.float64)
            for a, p, n in product(range(len(x)), repeat=3):
                if p != a and labels[p] == labels[a] != labels[n]:
                    near = (listed[a] - listed[p]).norm() ** (1 + squared)
                    far = (listed[a] - listed[n]).norm() ** (1 + squared)
                    if far < near + 0.8 and (mining == "all" or near < far):
                        total = total + near - far + 0.8
            total.backward()
            assert_close(counted.grad, listed.grad)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 3.0])
def test_views_against_a_loop(temperature):
    a, b = drawn(views)
    z = [F.normalize(row, dim=0) for row in torch.cat([a, b])]
    n = len(a)
    values = []
    for i in range(2 * n):
        shares = [math.exp((z[i] @ z[k]).item() / temperature) for k in range(2 * n)]
        values.append(-math.log(shares[(i + n) % (2 * n)] / (sum(shares) - shares[i])))
    assert_close(cl.NTXentLoss(temperature, "none")(a, b), tensor(*values))
    there, back = [], []
    for i in range(n):
        towards = [math.exp((z[i] @ z[n + k]).item() / temperature) for k in range(n)]
        there.append(-math.log(towards[i] / sum(towards)))
        towards = [math.exp((z[n + i] @ z[k]).item() / temperature) for k in range(n)]
        back.append(-math.log(towards[i] / sum(towards)))
    assert_close(cl.InfoNCELoss(temperature, False, "none")(a, b), tensor(*there))
    both = (tensor(*there) + tensor(*back)) / 2
    assert_close(cl.InfoNCELoss(temperature, reduction="none")(a, b), both)


def test_against_torch():
    a, p, n = drawn(triples)
    for reduction in ("mean", "sum", "none"):
        expected = F.triplet_margin_loss(a, p, n, margin=0.7, eps=0, reduction=reduction)
        assert_close(cl.TripletLoss(0.7, reduction=reduction)(a, p, n), expected)
    a, b, same = drawn(pairs)
    d = F.pairwise_distance(a, b, eps=0)
    different = F.hinge_embedding_loss(d, torch.full_like(d, -1), margin=2, reduction="none")
    expected = 0.5 * torch.where(same == 1, d, different) ** 2
    assert_close(cl.ContrastiveLoss(margin=2, reduction="none")(a, b, same), expected)


# ---------------------------------------------------------------- identities


def test_order_of_the_views_matters_only_one_way():
    a, b = drawn(views)
    assert_close(cl.NTXentLoss()(a, b), cl.NTXentLoss()(b, a))
    assert_close(cl.InfoNCELoss()(a, b), cl.InfoNCELoss()(b, a))
    there, back = (cl.InfoNCELoss(symmetric=False)(*v) for v in ((a, b), (b, a)))
    assert (there - back).abs() > 1e-3
    assert_close((there + back) / 2, cl.InfoNCELoss()(a, b))


@pytest.mark.parametrize("loss", [cl.NTXentLoss(), cl.InfoNCELoss()], ids=str)
def test_lengths_do_not_matter(loss):
    a, b = drawn(views)
    lengths = torch.tensor([1e-3, 1, 7, 1e4, 0.5], dtype=torch.float64)[:, None]
    assert_close(loss(a * lengths, b / lengths), loss(a, b))


def test_the_names_of_the_labels_do_not_matter():
    x, labels = drawn(labelled)
    renamed = 3 - 10 * labels
    for mining in MININGS:
        loss = cl.OnlineTripletLoss(mining=mining)
        assert_close(loss(x, renamed), loss(x, labels))
        assert_close(loss(x, labels.to(torch.int16)), loss(x, labels))


def test_a_triplet_free_under_one_distance_costs_under_the_other():
    a, p, n = on_a_line(0), on_a_line(2), on_a_line(2.3)
    assert cl.TripletLoss()(a, p, n).item() == pytest.approx(0.7)
    assert cl.TripletLoss(squared=True)(a, p, n).item() == 0


# ---------------------------------------------------------------- nothing to compare


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [5, 5, 5, 5], [0]], ids=str)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_no_valid_triplet_gives_a_zero_that_backpropagates(mining, labels, reduction):
    x = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = cl.OnlineTripletLoss(mining=mining, reduction=reduction)(x, torch.tensor(labels))
    loss.sum().backward()
    assert_close(loss, torch.zeros(len(labels) if reduction == "none" else ()))
    assert_close(x.grad, torch.zeros_like(x))


@pytest.mark.parametrize("mining", ["all", "semi-hard"])
def test_every_triplet_far_enough_gives_a_zero_that_backpropagates(mining):
    x = torch.tensor([[0.0], [1.0], [90.0], [91.0]], requires_grad=True)
    loss = cl.OnlineTripletLoss(mining=mining)(x, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.item() == 0
    assert_close(x.grad, torch.zeros_like(x))


def test_a_single_pair_of_views_has_nothing_to_be_told_from():
    a = torch.tensor([[1.0, 2.0]], requires_grad=True)
    for loss in (cl.NTXentLoss(), cl.InfoNCELoss()):
        value = loss(a, torch.tensor([[2.0, -3.0]]))
        value.backward()
        assert value.item() == 0
        assert_close(a.grad, torch.zeros(1, 2))


# ---------------------------------------------------------------- points on one spot


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda x: cl.ContrastiveLoss()(x, x * 1, torch.tensor([1, 1, 1, 1])), 0),
        (lambda x: cl.ContrastiveLoss(margin=3)(x, x * 1, torch.tensor([0, 0, 0, 0])), 4.5),
        (lambda x: cl.TripletLoss(margin=0.4)(x, x * 1, x * 1), 0.4),
        (lambda x: cl.TripletLoss(margin=0.4, squared=True)(x, x * 1, x * 1), 0.4),
        *(
            (
                lambda x, m=m, s=s: cl.OnlineTripletLoss(0.4, m, s)(x, torch.tensor([0, 0, 1, 1])),
                expected,
            )
            for m, expected in [("hard", 0.4), ("all", 0.4), ("semi-hard", 0)]
            for s in (False, True)
        ),
    ],
)
def test_collapsed_embeddings_cost_the_margin_and_have_no_direction(loss, expected):
    x = torch.ones(4, 3, requires_grad=True)
    value = loss(x)
    value.backward()
    assert value.item() == pytest.approx(expected)
    assert_close(x.grad, torch.zeros(4, 3))


@pytest.mark.parametrize("loss", [cl.NTXentLoss(), cl.InfoNCELoss(), cl.InfoNCELoss(1e-3)], ids=str)
def test_a_row_of_zeros_has_cosine_zero_and_a_finite_gradient(loss):
    a = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    value = loss(a, torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    value.backward()
    assert value.isfinite()
    assert a.grad.abs().max() < 10 / loss.temperature


# ---------------------------------------------------------------- extremes


@pytest.mark.parametrize("size", [1e-30, 1e-25, 1e-10, 1.0, 1e10, 1e20, 1e30])
def test_distances_of_any_size_in_float32(size):
    a = torch.tensor([[3.0, 0.0], [0.0, 0.0]]).mul(size).requires_grad_()
    b = torch.tensor([[0.0, 4.0], [6.0, 8.0]]).mul(size)
    distance = row_distances(a, b)
    distance.sum().backward()
    assert (distance / size).tolist() == pytest.approx([5, 10], rel=1e-6)
    assert_close(a.grad, torch.tensor([[0.6, -0.8], [-0.6, -0.8]]))
    x = torch.cat([a.detach(), b])
    expected = torch.tensor([[0, 3, 5, 73**0.5], [3, 0, 4, 10], [5, 4, 0, 52**0.5]])
    pairwise = pairwise_distances(x) / size
    assert_close(pairwise[:3], expected, rtol=1e-6, atol=1e-6)
    assert_close(pairwise, pairwise.T)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_a_row_is_scaled_by_its_largest_entry(size):
    row = torch.tensor([[3.0, 1e-9, 4.0]]) * size
    assert (row_distances(row, torch.zeros(1, 3)) / size).item() == pytest.approx(5, rel=1e-6)
    assert_close(unit_rows(row), torch.tensor([[0.6, 0.0, 0.8]]))


def test_distances_beyond_float32_in_float64():
    x = on_a_line(3e200, 0, -4e200)
    assert_close(pairwise_distances(x)[0] / 1e200, tensor(0, 3, 7))
    assert_close(row_distances(x, x.flip(0)) / 1e200, tensor(7, 0, 7))


def test_a_row_of_zeros_is_left_alone_and_so_is_its_gradient():
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    unit = unit_rows(z)
    assert_close(unit, torch.tensor([[0.0, 0.0], [0.6, 0.8]]))
    unit.backward(torch.tensor([[5.0, -7.0], [5.0, -7.0]]))
    across = (5 * 0.8 + 7 * 0.6) / 5  # what is left of the second after its radial part
    assert_close(z.grad, torch.tensor([[5.0, -7.0], [0.8 * across, -0.6 * across]]))


@pytest.mark.parametrize("size", [1e-20, 1e20])
@pytest.mark.parametrize("mining", MININGS)
def test_mining_of_any_size_in_float32(size, mining):
    x, labels = LINE.float(), OWNERS
    loss = cl.OnlineTripletLoss(1.4 * size, mining)(x * size, labels)
    assert loss.item() / size == pytest.approx(
        cl.OnlineTripletLoss(1.4, mining)(x, labels).item(), rel=1e-5
    )


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e15, 1e30])
def test_views_of_any_length_in_float32(size):
    a, b = (v.float() for v in drawn(views))
    for loss in (cl.NTXentLoss(), cl.InfoNCELoss()):
        assert_close(loss(a * size, b), loss(a, b))


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("squared", [False, True])
def test_shifted_embeddings_keep_their_distances(mining, squared):
    """The usual matrix form of the distance is off by 10 here: it subtracts squares of 1000."""
    generator = torch.Generator().manual_seed(1)
    steps = torch.randint(-512, 512, (60, 8), generator=generator)
    x = 1000 + steps / 256  # exact in float32, 1000 away from the origin
    labels = torch.arange(60) // 4
    loss = cl.OnlineTripletLoss(1.0, mining, squared)
    assert loss(x, labels).item() == pytest.approx(loss(steps / 256, labels).item(), rel=1e-6)
    mean, _, _ = mined_by_a_loop(steps.double() / 256, labels, 1.0, mining, squared)
    assert loss(x, labels).item() == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.001, 0.01])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_small_temperatures(temperature, dtype):
    e = torch.eye(4, dtype=dtype)
    for loss in (
        cl.NTXentLoss(temperature),
        cl.InfoNCELoss(temperature),
        cl.InfoNCELoss(temperature, symmetric=False),
    ):
        assert loss(e, e).item() == pytest.approx(0, abs=1e-6)
        a = e.clone().requires_grad_()
        value = loss(a, e.roll(1, dims=0))  # the partner at a right angle, a stranger on the spot
        value.backward()
        assert value.item() == pytest.approx(1 / temperature, rel=1e-6)
        assert a.grad.isfinite().all()
        assert a.grad.abs().max() > 0.1 / temperature


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision_at_a_small_temperature(dtype):
    a, b = (v.to(dtype) for v in drawn(views))
    b = b.flip(0)
    for loss in (cl.NTXentLoss(0.01), cl.InfoNCELoss(0.01)):
        exact = loss(a.double(), b.double()).item()
        assert loss(a, b).item() == pytest.approx(exact, rel=torch.finfo(dtype).eps)


def largest_saved(loss, *inputs: torch.Tensor) -> int:
    sizes: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: sizes.append(t.numel()) or t, lambda t: t
    ):
        loss(*inputs)
    return max(sizes)


def test_memory_is_that_of_the_pair_matrix():
    """96 examples make 96 * 3 * 92 triplets: a list of them would show."""
    x = torch.randn(96, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for mining in MININGS:
        assert largest_saved(cl.OnlineTripletLoss(mining=mining), x, torch.arange(96) // 4) <= 96**2
    assert largest_saved(cl.NTXentLoss(), x, x.detach() + 1) <= 192**2


@pytest.mark.parametrize(
    "written",
    [
        "ContrastiveLoss(margin=1.0, reduction='mean')",
        "TripletLoss(margin=1.0, squared=False, reduction='mean')",
        "OnlineTripletLoss(margin=1.0, mining='hard', squared=False, reduction='mean')",
        "NTXentLoss(temperature=0.5, reduction='mean')",
        "InfoNCELoss(temperature=0.07, symmetric=True, reduction='mean')",
    ],
)
def test_defaults(written):
    assert repr(getattr(cl, written.partition("(")[0])()) == written
