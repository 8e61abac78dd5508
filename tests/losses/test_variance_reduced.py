"""Closed forms of a Bayesian last layer beside quadrature and 10 000 draws of its weights."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

import course_losses as cl
from course_losses.variance_reduced import output_moments


def layer_of(
    mean: list[list[float]], std: list[list[float]], bias: tuple | None
) -> cl.BayesianLinear:
    layer = cl.BayesianLinear(len(mean[0]), len(mean), bias=bias is not None).double()

    def rho(values: object) -> Tensor:
        return torch.expm1(torch.tensor(values, dtype=torch.float64)).log()

    layer.weight_mean.data = torch.tensor(mean, dtype=torch.float64)
    layer.weight_rho.data = rho(std)
    if bias is not None:
        layer.bias_mean.data = torch.tensor(bias[0], dtype=torch.float64)
        layer.bias_rho.data = rho(bias[1])
    return layer


LAYER = layer_of(
    [[1.0, -0.5], [0.3, 2.0], [-1.0, 0.2]],
    [[0.2, 0.5], [0.1, 0.3], [0.6, 0.4]],
    ([0.1, -0.2, 0.4], [0.3, 0.2, 0.1]),
)
H = torch.tensor([[[1.0, 2.0], [-0.5, 0.3]], [[0.0, -1.0], [1.5, 0.5]]], dtype=torch.float64)
VALUES = torch.tensor([[0.5, 1.0, 0.0], [0.9, 0.2, 1.0]], dtype=torch.float64)
CLASSES = torch.tensor([2, 0])
ROWS = [(cl.MSELossVR, VALUES), (cl.BCEWithLogitsLossVR, VALUES), (cl.CrossEntropyLossVR, CLASSES)]
PLAIN = {
    cl.MSELossVR: F.mse_loss,
    cl.BCEWithLogitsLossVR: F.binary_cross_entropy_with_logits,
    cl.CrossEntropyLossVR: lambda z, y, reduction: F.cross_entropy(
        z.movedim(-1, 1), y, reduction=reduction
    ),
}
every_loss = pytest.mark.parametrize(
    ("loss", "target"), ROWS, ids=lambda x: getattr(x, "__name__", "")
)


def repeated(target: Tensor, samples: int) -> Tensor:
    return target.expand(samples, *target.shape)


def hermite(function, mean: Tensor, variance: Tensor) -> Tensor:
    """E[function(f)] for f ~ N(mean, variance), by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    nodes, weights = torch.tensor(nodes), torch.tensor(weights / weights.sum())
    return (weights * function(mean[..., None] + variance.sqrt()[..., None] * nodes)).sum(-1)


# ---------------------------------------------------------------- moments and exactness


def test_moments_by_hand():  # h = (1, 2)
    mean, variance = output_moments(H, LAYER)
    assert_close(mean[0, 0], torch.tensor([0.1, 4.1, -0.2], dtype=torch.float64))
    expected = [0.04 + 4 * 0.25 + 0.09, 0.01 + 4 * 0.09 + 0.04, 0.36 + 4 * 0.16 + 0.01]
    assert_close(variance[0, 0], torch.tensor(expected, dtype=torch.float64))


def test_moments_without_bias():
    bare = layer_of([[1.0, -0.5]], [[0.2, 0.5]], None)
    mean, variance = output_moments(H, bare)
    assert_close(mean[0, 0, 0], torch.tensor(0.0).double())
    assert_close(variance[0, 0, 0], torch.tensor(1.04).double())


def test_mse_by_hand():
    expected = [1.13 + 0.4**2, 0.41 + 3.1**2, 1.01 + 0.2**2]
    result = cl.MSELossVR("none")(H, LAYER, VALUES)[0, 0]
    assert_close(result, torch.tensor(expected, dtype=torch.float64))


def test_mse_is_the_exact_expectation():
    mean, variance = output_moments(H, LAYER)
    expected = hermite(lambda f: (f - VALUES[..., None]) ** 2, mean, variance)
    assert_close(cl.MSELossVR("none")(H, LAYER, VALUES), expected)


def test_bce_is_the_jensen_bound():
    mean, variance = output_moments(H, LAYER)
    if_one = hermite(lambda f: torch.exp(-f), mean, variance).log1p()
    if_zero = hermite(torch.exp, mean, variance).log1p()
    result = cl.BCEWithLogitsLossVR("none")(H, LAYER, VALUES)
    assert_close(result, VALUES * if_one + (1 - VALUES) * if_zero)
    y = VALUES[..., None]
    exact = hermite(lambda f: y * F.softplus(-f) + (1 - y) * F.softplus(f), mean, variance)
    assert (result > exact).all()


def test_cross_entropy_is_the_jensen_bound():
    mean, variance = output_moments(H, LAYER)
    total = hermite(torch.exp, mean, variance).sum(-1).log()
    true = torch.stack([mean[:, n, y] for n, y in enumerate(CLASSES.tolist())], dim=-1)
    assert_close(cl.CrossEntropyLossVR("none")(H, LAYER, CLASSES), total - true)


@every_loss
def test_beside_ten_thousand_draws(loss, target):
    torch.manual_seed(0)
    with torch.no_grad():
        outputs = torch.stack([LAYER(H) for _ in range(10_000)])
    plain = PLAIN[loss](outputs.flatten(0, 1), repeated(target, 20_000), reduction="none")
    sampled = plain.unflatten(0, (10_000, 2)).mean(0)
    closed = loss("none")(H, LAYER, target)
    if loss is cl.MSELossVR:
        assert_close(closed, sampled, rtol=0.05, atol=0.02)
    else:
        assert (closed > sampled).all()
        assert (closed - sampled).max() < 0.5


@every_loss
def test_without_spread_it_is_the_plain_loss(loss, target):
    layer = layer_of([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.2]], [[1e-9, 1e-9]] * 3, None)
    outputs = H @ layer.weight_mean.T
    expected = PLAIN[loss](outputs, repeated(target, 2), reduction="none")
    assert_close(loss("none")(H, layer, target), expected)


@every_loss
@pytest.mark.parametrize("samples", [(), (1,), (2,), (2, 3)], ids=str)
def test_samples_are_averaged_outside(loss, target, samples):
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(*samples, 2, 2, generator=generator, dtype=torch.float64)
    singles = [loss()(one, LAYER, target) for one in h.reshape(-1, 2, 2)]
    assert_close(loss()(h, LAYER, target), torch.stack(singles).mean())
    assert loss("none")(h, LAYER, target).shape[: len(samples) + 1] == (*samples, 2)


@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_any_number_of_outputs(outputs):
    torch.manual_seed(0)
    layer, h = cl.BayesianLinear(4, outputs).double(), torch.randn(3, 7, 4, dtype=torch.float64)
    target = torch.rand(7, outputs, dtype=torch.float64)
    for loss in (cl.MSELossVR, cl.BCEWithLogitsLossVR):
        result = loss("none")(h, layer, target)
        assert result.shape == (3, 7, outputs)
        for k in range(outputs):
            alone = layer_of(
                [layer.weight_mean[k].tolist()],
                [layer.weight_std[k].tolist()],
                ([layer.bias_mean[k].item()], [layer.bias_std[k].item()]),
            )
            assert_close(loss("none")(h, alone, target[:, k : k + 1])[..., 0], result[..., k])


def test_four_targets_stay_four():
    torch.manual_seed(0)
    layer, h = cl.BayesianLinear(6, 1), torch.randn(4, 6)
    target = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    assert cl.BCEWithLogitsLossVR("none")(h, layer, target).shape == (4, 1)


# ---------------------------------------------------------------- variance


def spread_of(v1: float, v2: float) -> tuple[float, float]:
    """Variance of the plain and of the bounded loss, logit variance v1 or v2, target 0, mean 0."""
    layer = layer_of([[0.0]], [[1.0]], None)
    h = torch.tensor([[[math.sqrt(v1)]], [[math.sqrt(v2)]]], dtype=torch.float64)
    bound = cl.BCEWithLogitsLossVR("none")(h, layer, torch.zeros(1, 1, dtype=torch.float64))
    mean, variance = output_moments(h, layer)
    first = hermite(F.softplus, mean, variance).mean()
    second = hermite(lambda f: F.softplus(f) ** 2, mean, variance).mean()
    return (second - first**2).item(), bound.var(correction=0).item()


@pytest.mark.parametrize(
    ("variances", "plain", "bounded"),
    [((0.1, 0.5), 0.0789, 0.0029), ((1.0, 10.0), 1.81, 4.07), ((1.0, 100.0), 19.6, 600.9)],
)
def test_the_bound_is_less_noisy_for_small_variances_only(variances, plain, bounded):
    assert spread_of(*variances) == pytest.approx((plain, bounded), rel=0.03)


def test_mse_is_unbiased_and_less_noisy():
    torch.manual_seed(0)
    body = cl.BayesianLinear(3, 2, posterior_std=0.3).double()
    x = torch.randn(2, 3, dtype=torch.float64)
    with torch.no_grad():
        h = torch.stack([body(x).tanh() for _ in range(4000)])
        plain = torch.stack([(LAYER(one) - VALUES).square().mean() for one in h])
        reduced = cl.MSELossVR("none")(h, LAYER, VALUES).mean((1, 2))
    standard_error = math.sqrt((plain.var() / 4000).item())
    assert abs(plain.mean() - reduced.mean()) < 4 * standard_error
    assert reduced.var() < plain.var() / 2


# ---------------------------------------------------------------- gradients and extremes


@every_loss
def test_gradients_reach_the_layer_and_the_body(loss, target):
    parameters = dict(LAYER.named_parameters())
    h = H.clone().requires_grad_()

    def value(h, *values):
        layer = cl.BayesianLinear(2, 3).double()
        named = dict(zip(parameters, values, strict=True))
        for name, tensor in named.items():
            del layer._parameters[name]
            setattr(layer, name, tensor)
        return loss()(h, layer, target)

    leaves = [p.detach().clone().requires_grad_() for p in parameters.values()]
    assert torch.autograd.gradcheck(value, (h, *leaves))
    loss()(h, LAYER, target).backward()
    for name, parameter in parameters.items():
        assert parameter.grad.abs().sum() > 0, name
        parameter.grad = None


def test_a_sure_right_answer_costs_half_its_variance_in_cross_entropy_only():
    layer = layer_of([[50.0], [0.0]], [[1.0], [1.0]], None)
    h = torch.ones(1, 1, dtype=torch.float64)
    assert cl.CrossEntropyLossVR()(h, layer, torch.tensor([0])).item() == pytest.approx(0.5)
    single = layer_of([[50.0]], [[1.0]], None)
    assert cl.BCEWithLogitsLossVR()(h, single, h).item() < 1e-20


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_saturated_logits_in_float32(size):
    h = torch.tensor([[size]], requires_grad=True)
    layer = layer_of([[1.0], [0.0]], [[1e-3], [1e-3]], None).float()
    v = (1e4 * 1e-3) ** 2
    cross = cl.CrossEntropyLossVR()(h, layer, torch.tensor([0]))
    assert cross.item() == pytest.approx(v / 2 + max(0, -size), rel=1e-5)
    binary = cl.BCEWithLogitsLossVR("sum")(h, layer, torch.tensor([[1.0, 1.0]]))
    assert binary.item() == pytest.approx(v / 2 + max(0, v / 2 - size), rel=1e-5)
    (cross + binary).backward()
    assert h.grad.isfinite().all()


def test_large_offsets_do_not_cost_digits():
    plain = layer_of([[1.0], [0.5]], [[0.1], [0.2]], None).float()
    shifted = layer_of([[1.0], [0.5]], [[0.1], [0.2]], ([8192.0] * 2, [1e-6] * 2)).float()
    h, y = torch.ones(1, 1), torch.tensor([1])
    assert_close(cl.CrossEntropyLossVR()(h, shifted, y), cl.CrossEntropyLossVR()(h, plain, y))


def test_the_wanted_shape_is_that_of_one_sample():
    layer = cl.BayesianLinear(3, 2)
    with pytest.raises(ValueError, match=r"target must have shape \(4, 2\), .* got \(4,\)"):
        cl.MSELossVR()(torch.zeros(5, 4, 3), layer, torch.zeros(4))
