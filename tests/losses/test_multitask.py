"""Multi-task losses: Kendall's factors and optima, and GradNorm beside a second derivation."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import course_losses as cl

LOSSES = [2.5, 0.8, 1.2]


def scalars(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


@pytest.mark.parametrize(
    "combine",
    [
        cl.WeightedSum([0.5, 2.0, 1.0]),
        cl.UncertaintyWeighting(3, ["regression", "classification", "regression"]),
        cl.GradNorm(3),
    ],
    ids=lambda combine: type(combine).__name__,
)
def test_losses_may_come_as_a_list(combine):
    for dtype in (torch.float64, torch.float32, torch.float16):
        losses = torch.tensor(LOSSES, dtype=dtype)
        assert_close(combine([*losses]), combine(losses), rtol=0, atol=0)
        assert_close(combine((*losses,)), combine(losses), rtol=0, atol=0)
        assert combine([*losses]).dtype == dtype
    compiled = torch.compile(combine, fullgraph=True, backend="eager")
    assert_close(compiled([*losses.float()]), combine(losses.float()))


# ---------------------------------------------------------------- weighted sum


def test_weighted_sum_by_hand():
    losses = torch.tensor(LOSSES, requires_grad=True)
    total = cl.WeightedSum([2.0, 0.0, 0.5])(losses)
    assert total.item() == pytest.approx(5.6)
    total.backward()
    assert losses.grad.tolist() == [2.0, 0.0, 0.5]


def test_a_weight_beyond_half_precision_does_not_overflow():
    loss = torch.tensor([0.25], dtype=torch.float16)
    assert cl.WeightedSum([1e5])(loss).item() == pytest.approx(25_000, rel=1e-3)


def test_weights_may_come_as_a_tensor_and_are_saved():
    weighted = cl.WeightedSum(torch.tensor([1.0, 3.0]))
    assert weighted(scalars(1.0, 2.0)).item() == 7
    assert weighted.state_dict()["weights"].tolist() == [1, 3]
    assert not list(weighted.parameters())


# ---------------------------------------------------------------- uncertainty weighting


@pytest.mark.parametrize(
    ("kinds", "a", "b"),
    [
        (None, (1, 1, 1), (1, 1, 1)),
        (["regression"] * 3, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        (["classification", "regression", "classification"], (1, 0.5, 1), (0.5, 0.5, 0.5)),
    ],
)
def test_kendall_by_hand(kinds, a, b):
    weighting = cl.UncertaintyWeighting(3, kinds)
    assert weighting.log_vars.tolist() == [0, 0, 0]
    s = [0.3, -0.7, 1.1]
    weighting.log_vars.data = torch.tensor(s, dtype=torch.float64)
    losses = scalars(*LOSSES)
    for loss in losses:
        loss.requires_grad_()
    total = weighting(losses)
    terms = zip(a, b, s, LOSSES, strict=True)
    assert total.item() == pytest.approx(sum(i * math.exp(-k) * x + j * k for i, j, k, x in terms))
    total.backward()
    for i, k, loss in zip(a, s, losses, strict=True):
        assert loss.grad.item() == pytest.approx(i * math.exp(-k))


@pytest.mark.parametrize(
    ("kinds", "factor", "minimum"),
    [
        (None, 1, lambda x: 1 + math.log(x)),
        (["regression"] * 3, 1, lambda x: (1 + math.log(x)) / 2),
        (["classification"] * 3, 2, lambda x: (1 + math.log(2 * x)) / 2),
    ],
)
def test_optimum(kinds, factor, minimum):
    weighting = cl.UncertaintyWeighting(3, kinds).double()
    optimizer = torch.optim.LBFGS(weighting.parameters(), max_iter=100, tolerance_grad=1e-12)

    def closure() -> Tensor:
        optimizer.zero_grad()
        total = weighting(scalars(*LOSSES))
        total.backward()
        return total

    optimizer.step(closure)
    expected = [math.log(factor * x) for x in LOSSES]
    assert weighting.log_vars.tolist() == pytest.approx(expected, abs=1e-3)
    assert closure().item() == pytest.approx(sum(map(minimum, LOSSES)))


def test_the_total_may_be_negative():
    weighting = cl.UncertaintyWeighting(1)
    nn.init.constant_(weighting.log_vars, math.log(0.01))
    assert weighting(scalars(0.01)) < 0


def test_the_forms_differ_by_the_stated_factor():
    losses = scalars(*LOSSES)
    all_kinds = [None, ["regression"] * 3]
    plain, regression = (cl.UncertaintyWeighting(3, kinds) for kinds in all_kinds)
    for weighting in (plain, regression):
        nn.init.constant_(weighting.log_vars, 0.4)
    assert_close(plain(losses), 2 * regression(losses))


def test_only_log_vars_are_learnt_and_saved():
    weighting = cl.UncertaintyWeighting(2, ["regression", "classification"])
    assert [name for name, _ in weighting.named_parameters()] == ["log_vars"]
    assert list(weighting.state_dict()) == ["log_vars"]


# ---------------------------------------------------------------- GradNorm


class TwoTasks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Linear(4, 5)
        self.heads = nn.ModuleList([nn.Linear(5, 1), nn.Linear(5, 1), nn.Linear(5, 2)])

    def forward(self, x: Tensor) -> list[Tensor]:
        h = self.body(x).tanh()
        scales = (1.0, 20.0, 0.3)
        return [c * head(h).square().mean() for c, head in zip(scales, self.heads, strict=True)]


def second_derivation(
    weights: Tensor, first: Tensor, losses: list[Tensor], shared: Tensor, alpha: float, lr: float
) -> Tensor:
    """Algorithm 1 as printed: differentiate L_grad by automatic differentiation."""
    w = weights.clone().requires_grad_()
    norms = []
    for i, loss in enumerate(losses):
        (gradient,) = torch.autograd.grad(w[i] * loss, shared, create_graph=True)
        norms.append((gradient**2).sum().sqrt())
    norms = torch.stack(norms)
    progress = torch.stack([x.detach() for x in losses]) / first
    target = (norms.mean() * (progress / progress.mean()) ** alpha).detach()
    (step,) = torch.autograd.grad((norms - target).abs().sum(), w)
    new = weights - lr * step
    return new * len(losses) / new.sum()


@pytest.mark.parametrize("alpha", [0, 0.12, 1.5])
def test_gradnorm_beside_a_second_derivation(alpha):
    torch.manual_seed(1)
    model = TwoTasks().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
    gradnorm = cl.GradNorm(3, alpha=alpha, lr=0.01).double()
    weights, first = torch.ones(3, dtype=torch.float64), None
    for _ in range(8):
        losses = model(torch.randn(16, 4, dtype=torch.float64))
        first = torch.stack([x.detach() for x in losses]) if first is None else first
        total = gradnorm(losses)
        assert_close(total, sum(w * x for w, x in zip(weights, losses, strict=True)))
        weights = second_derivation(weights, first, losses, model.body.weight, alpha, 0.01)
        gradnorm.update(losses, model.body.weight)
        assert_close(gradnorm.weights, weights)
        assert gradnorm.weights.sum().item() == pytest.approx(3)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert (weights - 1).abs().min() > 1e-3


def test_equal_pulls_but_one_task_lags():
    shared = nn.Parameter(torch.ones(1))
    gradnorm = cl.GradNorm(2, alpha=1.5, lr=0.1)
    gradnorm([shared.sum(), shared.sum()])
    shared.data.fill_(0.5)
    lagging, ahead = shared.sum() + 0.5, shared.sum()  # at 1 and 1/2 of where they started
    gradnorm.update([lagging, ahead], shared)
    assert_close(gradnorm.weights, torch.tensor([1.1, 0.9]))
    indifferent = cl.GradNorm(2, alpha=0, lr=0.1)
    indifferent([2 * shared.sum(), 2 * shared.sum()])
    indifferent.update([lagging, ahead], shared)
    assert_close(indifferent.weights, torch.ones(2))


def test_norms_become_equal():
    shared = nn.Parameter(torch.ones(3))
    gradnorm = cl.GradNorm(2, alpha=0, lr=0.002)
    for _ in range(500):
        losses = [shared.sum(), 9 * shared.sum()]
        gradnorm.update(losses, shared)
    assert gradnorm.weights.tolist() == pytest.approx([1.8, 0.2], abs=0.02)


def test_no_gradient_of_the_model_is_touched():
    model = TwoTasks()
    x = torch.randn(16, 4)
    losses = model(x)
    gradnorm = cl.GradNorm(3)
    total = gradnorm(losses)
    gradnorm.update(losses, model.body.weight)
    assert all(p.grad is None for p in model.parameters())
    total.backward()
    with_update = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    sum(model(x)).backward()  # the weights were 1 when the total was formed
    for parameter, gradient in zip(model.parameters(), with_update, strict=True):
        assert_close(parameter.grad, gradient)
    gradnorm.update(model(x), model.body.weight)
    for parameter, gradient in zip(model.parameters(), with_update, strict=True):
        assert_close(parameter.grad, gradient)
    assert not gradnorm.weights.requires_grad
    assert not list(gradnorm.parameters())


def test_first_losses_are_those_of_training():
    shared = nn.Parameter(torch.ones(1))
    gradnorm = cl.GradNorm(1).eval()
    gradnorm([7 * shared.sum()])
    assert gradnorm.initial_losses.tolist() == [0]
    gradnorm.train()
    gradnorm([3 * shared.sum()])
    gradnorm([5 * shared.sum()])
    assert gradnorm.initial_losses.tolist() == [3]
    other = cl.GradNorm(1)
    other.update([4 * shared.sum()], shared)
    assert other.initial_losses.tolist() == [4]


def test_what_is_remembered_keeps_no_graph():
    gradnorm = cl.GradNorm(1)
    gradnorm([3 * nn.Parameter(torch.ones(1)).sum()])
    assert not gradnorm.initial_losses.requires_grad


def test_a_small_weight_keeps_its_digits_in_half_precision():
    gradnorm = cl.GradNorm(2).eval()
    gradnorm.weights.copy_(torch.tensor([2.0, 1e-6]))
    losses = torch.tensor([0.0, 6e4], dtype=torch.float16)
    assert_close(gradnorm(losses), torch.tensor(0.06, dtype=torch.float16), rtol=1e-3, atol=0)


def test_training_can_be_resumed():
    model, x = TwoTasks(), torch.randn(16, 4)
    gradnorm = cl.GradNorm(3)
    gradnorm.update(model(x), model.body.weight)
    resumed = cl.GradNorm(3)
    resumed.load_state_dict(copy.deepcopy(gradnorm.state_dict()))
    for each in (gradnorm, resumed):
        each.update(model(2 * x), model.body.weight)
    assert_close(resumed.weights, gradnorm.weights, rtol=0, atol=0)


def test_a_large_step_leaves_the_weights_positive():
    shared = nn.Parameter(torch.ones(1))
    gradnorm = cl.GradNorm(2, lr=1.0)
    for _ in range(3):
        gradnorm.update([shared.sum(), 1e4 * shared.sum()], shared)
        assert (gradnorm.weights > 0).all()
        assert gradnorm.weights.sum().item() == pytest.approx(2)


def test_solved_tasks_are_no_trouble():
    shared = nn.Parameter(torch.ones(1))
    gradnorm = cl.GradNorm(2)
    gradnorm([shared.sum(), shared.sum()])
    for losses in ([0 * shared.sum(), shared.sum()], [0 * shared.sum(), 0 * shared.sum()]):
        gradnorm.update(losses, shared)
        assert gradnorm.weights.isfinite().all()
        assert gradnorm.weights.sum().item() == pytest.approx(2)


def test_losses_may_come_as_one_tensor():
    shared = nn.Parameter(torch.ones(2))
    one, other = cl.GradNorm(2), cl.GradNorm(2)
    losses = [shared.sum(), 3 * shared.square().sum()]
    one.update(losses, shared)
    other.update(torch.stack(losses), shared)
    assert_close(one.weights, other.weights)
    assert_close(one(losses), other(torch.stack(losses)))


def test_gradnorm_defaults_are_the_documented_ones():
    balancer = cl.GradNorm(2)
    assert (balancer.alpha, balancer.lr) == (1.5, 0.025)


def test_gradnorm_refuses_a_loss_that_falls_below_zero():
    shared = nn.Parameter(torch.ones(1))
    balancer = cl.GradNorm(2)
    balancer.update([shared.sum(), 2 * shared.sum()], shared)
    with pytest.raises(ValueError, match=r"must not be negative, got \[-0.5, 1.0\]"):
        balancer.update([-0.5 * shared.sum(), shared.sum()], shared)
