"""Regression losses: fractions by hand, naive loops, mpmath, torch, and what each minimises."""

import math
from fractions import Fraction

import mpmath
import pytest
import scipy.stats
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

import course_losses as cl


def tensor(*values: float | Fraction) -> torch.Tensor:
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


def slope(loss: nn.Module, error: float, dtype: torch.dtype = torch.float64) -> float:
    pred = torch.tensor([error], dtype=dtype, requires_grad=True)
    loss(pred, torch.zeros(1, dtype=dtype)).backward()
    return pred.grad.item()


# ---------------------------------------------------------------- values worked out by hand

PRED, OUTLIER = tensor(2.5, 0, 2.1, 7.8), tensor(2.5, 0, 2.1, 10)  # errors -1/2, 1/2, 1/10, ...
TARGET = tensor(3, -0.5, 2, 8)  # ... and -1/5, or 2 for the outlier


@pytest.mark.parametrize(
    ("loss", "pred", "expected"),
    [
        (cl.MSELoss(), PRED, Fraction(11, 80)),
        (cl.L1Loss(), PRED, Fraction(13, 40)),
        (cl.HuberLoss(delta=1), OUTLIER, Fraction(351, 800)),
        (cl.HuberLoss(delta=0.5), OUTLIER, Fraction(226, 800)),
        (cl.SmoothL1Loss(beta=0.5), OUTLIER, Fraction(452, 800)),
        (cl.AsymmetricMSELoss(over_penalty=3), PRED, Fraction(107, 400)),
        (cl.AsymmetricMSELoss(over_penalty=0.5), OUTLIER, Fraction(19, 32) + Fraction(1, 800)),
        (cl.QuantileLoss(quantile=0.9), PRED, Fraction(69, 400)),
        (cl.QuantileLoss(quantile=0.25), OUTLIER, Fraction(83, 160)),
    ],
    ids=str,
)
def test_value_by_hand(loss, pred, expected):
    assert_close(loss(pred, TARGET), torch.tensor(float(expected), dtype=torch.float64))


def test_gaussian_nll_by_hand():
    loss = cl.GaussianNLLLoss(reduction="none")(tensor(1, 2), tensor(4, 0.25), tensor(3, 2.5))
    assert_close(loss, tensor(math.log(2) + 0.5, -math.log(2) + 0.5))


@pytest.mark.parametrize(
    ("default", "spelled_out"),
    [
        (cl.HuberLoss(), cl.HuberLoss(delta=1.0, reduction="mean")),
        (cl.SmoothL1Loss(), cl.SmoothL1Loss(beta=1.0, reduction="mean")),
        (cl.AsymmetricMSELoss(), cl.AsymmetricMSELoss(over_penalty=2.0, reduction="mean")),
        (cl.QuantileLoss(), cl.QuantileLoss(quantile=0.5, reduction="mean")),
        (cl.GaussianNLLLoss(), cl.GaussianNLLLoss(full=False, reduction="mean")),
    ],
    ids=str,
)
def test_defaults(default, spelled_out):
    assert repr(default) == repr(spelled_out)


# ---------------------------------------------------------------- oracles


def naive(name: str, r: float, parameter: float) -> float:
    """The formulas as case distinctions over one number."""
    if name == "huber":
        return r * r / 2 if abs(r) <= parameter else parameter * (abs(r) - parameter / 2)
    if name == "smooth l1":
        return r * r / (2 * parameter) if abs(r) < parameter else abs(r) - parameter / 2
    if name == "asymmetric":
        return parameter * r * r if r > 0 else r * r
    return parameter * -r if r < 0 else (1 - parameter) * r


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("huber", lambda p: cl.HuberLoss(delta=p, reduction="none")),
        ("smooth l1", lambda p: cl.SmoothL1Loss(beta=p, reduction="none")),
        ("asymmetric", lambda p: cl.AsymmetricMSELoss(over_penalty=p, reduction="none")),
        ("quantile", lambda p: cl.QuantileLoss(quantile=p, reduction="none")),
    ],
)
@pytest.mark.parametrize("parameter", [0.1, 0.5, 0.8])
def test_against_case_distinctions(name, make, parameter):
    errors = torch.linspace(-3, 3, 61, dtype=torch.float64)
    target = torch.randn(61, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = tensor(*(naive(name, r, parameter) for r in errors.tolist()))
    assert_close(make(parameter)(target + errors, target), expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_against_torch(reduction):
    generator = torch.Generator().manual_seed(2)
    pred, target = 3 * torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    variance = torch.rand(5, 3, generator=generator, dtype=torch.float64) + 0.1
    pairs = [
        (cl.MSELoss(reduction), F.mse_loss(pred, target, reduction=reduction)),
        (cl.L1Loss(reduction), F.l1_loss(pred, target, reduction=reduction)),
        (cl.HuberLoss(0.7, reduction), F.huber_loss(pred, target, reduction, delta=0.7)),
        (
            cl.SmoothL1Loss(0.7, reduction),
            F.smooth_l1_loss(pred, target, None, None, reduction, 0.7),
        ),
    ]
    for loss, expected in pairs:
        assert_close(loss(pred, target), expected)
    for full in (False, True):
        assert_close(
            cl.GaussianNLLLoss(full, reduction)(pred, variance, target),
            F.gaussian_nll_loss(pred, target, variance, full, reduction=reduction),
        )


def test_gaussian_nll_is_minus_the_log_density():
    mean, variance, y = tensor(0.3, -2), tensor(0.04, 9), tensor(0.5, 5)
    expected = -scipy.stats.norm.logpdf(y.numpy(), mean.numpy(), variance.sqrt().numpy())
    assert_close(
        cl.GaussianNLLLoss(full=True, reduction="none")(mean, variance, y), torch.tensor(expected)
    )


# ---------------------------------------------------------------- identities


@pytest.mark.parametrize("delta", [0.1, 1.0, 2.5])
def test_huber_is_delta_times_smooth_l1(delta):
    errors = torch.linspace(-4, 4, 41)
    zero = torch.zeros_like(errors)
    assert_close(
        cl.HuberLoss(delta, "none")(errors, zero),
        delta * cl.SmoothL1Loss(delta, "none")(errors, zero),
    )


def test_limits_of_the_hyperparameters():
    errors = torch.linspace(-4, 4, 41, dtype=torch.float64)
    zero = torch.zeros_like(errors)
    half_mse, l1 = 0.5 * cl.MSELoss()(errors, zero), cl.L1Loss()(errors, zero)
    assert_close(cl.HuberLoss(delta=1e3)(errors, zero), half_mse)
    assert_close(cl.SmoothL1Loss(beta=1e-9)(errors, zero), l1)
    assert_close(cl.AsymmetricMSELoss(over_penalty=1)(errors, zero), 2 * half_mse)
    assert_close(cl.QuantileLoss(quantile=0.5)(errors, zero), 0.5 * l1)
    ones = torch.ones_like(errors)
    assert_close(cl.GaussianNLLLoss()(errors, ones, zero), half_mse)


# ---------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("loss", "error", "expected"),
    [
        (cl.MSELoss(), -3.0, -6.0),
        (cl.L1Loss(), -3.0, -1.0),
        (cl.L1Loss(), 0.0, 0.0),
        (cl.HuberLoss(delta=2), -3.0, -2.0),
        (cl.HuberLoss(delta=2), 1.5, 1.5),
        (cl.HuberLoss(delta=2), 2.0, 2.0),
        (cl.SmoothL1Loss(beta=2), 1.5, 0.75),
        (cl.SmoothL1Loss(beta=2), -5.0, -1.0),
        (cl.SmoothL1Loss(beta=2), 2.0, 1.0),
        (cl.LogCoshLoss(), 0.5, math.tanh(0.5)),
        (cl.LogCoshLoss(), -1.5, -math.tanh(1.5)),
        (cl.LogCoshLoss(), 0.0, 0.0),
        (cl.AsymmetricMSELoss(over_penalty=4), 0.5, 4.0),
        (cl.AsymmetricMSELoss(over_penalty=4), -0.5, -1.0),
        (cl.QuantileLoss(quantile=0.9), -1.0, -0.9),
        (cl.QuantileLoss(quantile=0.9), 1.0, 0.1),
        (cl.QuantileLoss(quantile=0.9), 0.0, -0.4),
    ],
    ids=str,
)
def test_gradient_by_hand(loss, error, expected):
    assert slope(loss, error) == pytest.approx(expected, rel=1e-12)


# ---------------------------------------------------------------- extremes

SIZES = [1e-20, 1e-15, 1e-8, 1e-4, 3e-4, 1e-3, 0.1, 0.999, 1.0, 1.001, 10.0, 89.5, 1e4, 1e15, 1e30]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_log_cosh_against_mpmath(size, sign, dtype):
    error = torch.tensor([sign * size], dtype=dtype)
    with mpmath.workdps(60):
        exact = mpmath.mpf(error.item())
        expected = float(mpmath.log(mpmath.cosh(exact))) if size < 1e4 else size - math.log(2)
        slope_expected = float(mpmath.tanh(exact))
    tolerance = 1e-6 if dtype == torch.float32 else 1e-13
    result = cl.LogCoshLoss()(error, torch.zeros(1, dtype=dtype)).item()
    if expected > torch.finfo(dtype).smallest_normal:
        assert result == pytest.approx(expected, rel=tolerance)
    else:
        assert 0 <= result <= torch.finfo(dtype).smallest_normal
    assert slope(cl.LogCoshLoss(), error.item(), dtype) == pytest.approx(slope_expected, rel=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [1, -1])
def test_bounded_gradients_in_float32(size, sign):
    error = sign * torch.tensor(size).item()
    for delta in (1e-3, 1.0, 1e3):
        clipped = max(-delta, min(delta, error))
        assert slope(cl.HuberLoss(delta), error, torch.float32) == pytest.approx(clipped, rel=1e-5)
        assert slope(cl.SmoothL1Loss(delta), error, torch.float32) == pytest.approx(
            clipped / delta, rel=1e-5
        )
        value = cl.HuberLoss(delta)(torch.tensor([error]), torch.zeros(1)).item()
        assert value == pytest.approx(naive("huber", error, delta), rel=1e-5, abs=1e-37)
        value = cl.SmoothL1Loss(delta)(torch.tensor([error]), torch.zeros(1)).item()
        assert value == pytest.approx(naive("smooth l1", error, delta), rel=1e-5, abs=1e-37)


@pytest.mark.parametrize("error", [1e18, -1e18])
def test_squares_whose_value_is_representable(error):
    assert cl.MSELoss()(torch.tensor([error]), torch.zeros(1)).item() == pytest.approx(1e36)
    value = cl.SmoothL1Loss(beta=1e30)(torch.tensor([1e25]), torch.zeros(1)).item()
    assert value == pytest.approx(5e19)
    value = cl.AsymmetricMSELoss(over_penalty=1e-5)(
        torch.tensor([abs(error) * 100]), torch.zeros(1)
    )
    assert value.item() == pytest.approx(1e35)


def test_the_unused_branch_stays_finite():
    assert slope(cl.HuberLoss(delta=1e-3), 3e38, torch.float32) == pytest.approx(1e-3)
    assert slope(cl.SmoothL1Loss(beta=1e-3), -3e38, torch.float32) == -1


@pytest.mark.parametrize(("error", "variance"), [(1e20, 1e30), (1e-20, 1e-30), (1e-3, 1e-12)])
def test_gaussian_nll_of_extreme_scales(error, variance):
    mean = torch.tensor([error], requires_grad=True)
    v = torch.tensor([variance], requires_grad=True)
    loss = cl.GaussianNLLLoss()(mean, v, torch.zeros(1))
    loss.backward()
    e, v64 = mean.item(), v.item()
    assert loss.item() == pytest.approx(0.5 * (math.log(v64) + e * e / v64), rel=1e-5)
    assert mean.grad.item() == pytest.approx(e / v64, rel=1e-5)
    assert v.grad.item() == pytest.approx(0.5 * (1 - e * e / v64) / v64, rel=1e-4)


# ---------------------------------------------------------------- what the best constant is


def best_constant(loss: nn.Module, y: torch.Tensor) -> float:
    """The minimum of the convex mean loss over a constant, by bisection of its slope."""
    low, high = y.min().item(), y.max().item()
    for _ in range(60):
        c = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        loss(c.expand_as(y), y).backward()
        low, high = (low, c.item()) if c.grad > 0 else (c.item(), high)
    return (low + high) / 2


SKEWED = torch.distributions.Exponential(1.0).icdf(
    (torch.arange(1001, dtype=torch.float64) + 0.5) / 1001
)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (cl.MSELoss(), SKEWED.mean()),
        (cl.L1Loss(), SKEWED.median()),
        (cl.QuantileLoss(0.9), SKEWED.quantile(0.9)),
        (cl.HuberLoss(1e-4), SKEWED.median()),
        (cl.HuberLoss(100.0), SKEWED.mean()),
        (cl.SmoothL1Loss(100.0), SKEWED.mean()),
        (cl.AsymmetricMSELoss(3.0), scipy.stats.expectile(SKEWED.numpy(), alpha=0.25)),
    ],
    ids=str,
)
def test_best_constant_prediction(loss, expected):
    assert best_constant(loss, SKEWED) == pytest.approx(float(expected), abs=2e-3)


def test_best_variance_is_the_mean_squared_error():
    y, mean = SKEWED, SKEWED.mean().expand_as(SKEWED)
    v = ((y - mean) ** 2).mean().requires_grad_()
    cl.GaussianNLLLoss()(mean, v.expand_as(y), y).backward()
    assert abs(v.grad.item()) < 1e-12


def test_half_precision_differences_are_not_rounded_before_their_mean():
    pred, target = torch.randn(2, 21, generator=torch.Generator().manual_seed(3)).bfloat16()
    exact = (pred.float() - target.float()).abs().mean().bfloat16()
    assert (pred - target).abs().mean() != exact
    assert cl.L1Loss()(pred, target) == exact


def test_gaussian_nll_names_its_mean():
    one, two, none = torch.ones(1), torch.ones(2), torch.ones(0)
    with pytest.raises(ValueError, match=r"got mean \(2,\), variance \(1,\)"):
        cl.GaussianNLLLoss()(two, one, one)
    with pytest.raises(ValueError, match="mean is empty"):
        cl.GaussianNLLLoss()(none, none, none)
