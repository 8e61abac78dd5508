"""The checks themselves: each is shown something right, and each fault that it claims to name."""

import math
import re
import warnings

import matplotlib as mpl
import pytest
import torch
from losses.tables import CASES
from scipy import integrate, stats
from torch import nn
from torch.testing import assert_close

import course_losses as cl
from course_losses import check_gradients, check_loss, gradient_flow, numerical_gradient

mpl.use("agg")
PRED = torch.tensor([0.4, -2.5, 3.0, 0.9, 1.7, -0.6])
TARGET = torch.tensor([0.1, 0.5, 0.2, -0.8, 1.9, 0.3])


def doubles(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def verdicts(report: object) -> list[str]:
    return [check.verdict for check in report.inputs]


# ---------------------------------------------------------------- numerical_gradient


def test_numerical_gradient_of_known_functions():
    x = doubles(0.5, -2, 3).reshape(3, 1)
    assert_close(numerical_gradient(lambda x: (x**3).sum(), x), 3 * x**2, rtol=1e-8, atol=0)
    assert_close(numerical_gradient(lambda x: x.exp().sum(), x), x.exp(), rtol=1e-8, atol=0)
    assert_close(numerical_gradient(lambda x: x.prod(), x), doubles(-6, 1.5, -1).reshape(3, 1))


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_step_follows_the_size_of_the_point(scale):
    x = scale * doubles(1, 2)
    gradient = numerical_gradient(lambda x: ((x / scale) ** 3).sum(), x)
    assert_close(gradient, doubles(3, 12) / scale, rtol=1e-8, atol=0)


@pytest.mark.parametrize(("dtype", "best"), [(torch.float64, 6e-6), (torch.float32, 5e-3)])
def test_default_step_is_near_the_bottom_of_the_v(dtype, best):
    x = torch.tensor([1.0], dtype=dtype)

    def error(step: float | None) -> float:
        return abs(numerical_gradient(lambda x: x.exp().sum(), x, step).item() - math.e)

    assert error(None) < error(100 * best)
    assert error(None) < error(best / 1000)
    assert error(None) < (1e-9 if dtype == torch.float64 else 1e-3)


def test_step_is_used_as_given():
    slope = numerical_gradient(lambda x: (x**3).sum(), doubles(1.0), step=0.1)
    assert slope.item() == pytest.approx(3 + 0.1**2)


def test_numerical_gradient_leaves_its_point_alone():
    point = torch.randn(3, 2, dtype=torch.float64).T
    before = point.clone()
    assert numerical_gradient(lambda x: x.square().sum(), point).shape == (2, 3)
    assert_close(point, before, rtol=0, atol=0)


@pytest.mark.parametrize("point", [0.0, 1.0])
def test_one_sided_where_the_domain_ends(point):
    """log(1 + p²) is only asked inside [0, 1]; both sides need second order to be right."""

    def inside(p: torch.Tensor) -> torch.Tensor:
        if not 0 <= p.item() <= 1:
            raise ValueError("outside")
        return torch.log1p(p**2).sum()

    slope = numerical_gradient(inside, doubles(point)).item()
    assert slope == pytest.approx(2 * point / (1 + point**2), abs=1e-9)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: numerical_gradient(torch.square, doubles(1, 2)),
            ValueError,
            r"one number.*\(2,\)",
        ),
        (lambda: numerical_gradient(torch.sum, torch.tensor([1])), TypeError, "int64"),
        (lambda: numerical_gradient(torch.sum, 1.0), TypeError, "got float"),
        (lambda: numerical_gradient(torch.sum, doubles(1), step=0), ValueError, "step must be"),
    ],
)
def test_numerical_gradient_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- check_gradients: what is right


@pytest.mark.parametrize(
    "loss",
    [
        cl.MSELoss(),
        cl.L1Loss(),
        cl.HuberLoss(),
        cl.LogCoshLoss(),
        cl.QuantileLoss(0.9),
        nn.MSELoss(),
    ],
    ids=str,
)
def test_a_right_loss_agrees(loss):
    report = check_gradients(loss, PRED, TARGET)
    assert report.ok
    assert bool(report)
    assert verdicts(report) == ["agrees", "agrees"]
    assert max(check.error for check in report.inputs) < 1e-7
    assert report.value == pytest.approx(loss(PRED.double(), TARGET.double()).item())


def test_reports_autograd_beside_the_differences():
    check = check_gradients(cl.MSELoss(), PRED, TARGET).inputs[0]
    exact = 2 * (PRED.double() - TARGET.double()) / 6
    assert check.name == "pred"
    assert_close(check.autograd, exact)
    assert_close(check.differences, exact, rtol=1e-7, atol=0)


def test_integer_targets_and_unreduced_losses():
    logits, classes = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), [0, 2, 1, 1, 0]
    report = check_gradients(nn.CrossEntropyLoss(reduction="none"), logits, torch.tensor(classes))
    assert verdicts(report) == ["agrees"]
    assert "its sum is checked" in str(report)


def test_extreme_scales_agree():
    variance = torch.tensor([1e-8, 1.0, 1e8])
    report = check_gradients(cl.GaussianNLLLoss(), PRED[:3], variance, TARGET[:3])
    assert verdicts(report) == ["agrees"] * 3


def test_borders_of_the_domain_are_checked_from_inside():
    probs, target = torch.tensor([0.3, 0.8]), torch.tensor([0.0, 1.0])

    def brier(probs, target):
        if not ((target >= 0) & (target <= 1)).all():
            raise ValueError("target outside [0, 1]")
        return ((probs - target) ** 2).sum()

    assert verdicts(check_gradients(brier, probs, target)) == ["agrees", "agrees"]


def test_only_inputs_that_require_a_gradient_if_some_do():
    report = check_gradients(cl.MSELoss(), PRED.clone().requires_grad_(), TARGET)
    assert [check.name for check in report.inputs] == ["pred"]


def test_parameters_and_dicts_are_checked_and_the_caller_keeps_his():
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log_vars = nn.Parameter(torch.tensor([0.3, -0.2]))

        def forward(self, losses):
            values = torch.stack([losses["depth"], losses["class"]])
            return (values * torch.exp(-self.log_vars) + self.log_vars).sum()

    loss = Weighted()
    inputs = {"depth": torch.tensor(0.7), "class": torch.tensor(1.9)}
    report = check_gradients(loss, inputs)
    names = ["losses['depth']", "losses['class']", "log_vars"]
    assert [check.name for check in report.inputs] == names
    assert verdicts(report) == ["agrees"] * 3
    assert loss.log_vars.dtype == torch.float32
    assert loss.log_vars.grad is None
    assert_close(inputs["depth"], torch.tensor(0.7), rtol=0, atol=0)


def test_a_random_loss_is_run_under_one_seed_and_leaves_the_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    report = check_gradients(lambda x: (x * torch.rand_like(x)).sum(), PRED)
    assert verdicts(report) == ["agrees"]
    assert_close(torch.rand(1), expected, rtol=0, atol=0)


def test_a_large_input_is_sampled_and_says_so():
    report = check_gradients(cl.MSELoss(), torch.zeros(20, 20), torch.ones(20, 20))
    assert len(report.inputs[0].autograd) == 100
    assert "100 of 400" in str(report)


def test_says_what_it_cannot_see():
    assert "wrong formula" in str(check_gradients(cl.MSELoss(), PRED, TARGET))

    def without_constants(pred, target):  # Huber, its halves forgotten: another loss, consistent
        size = (pred - target).abs()
        return torch.where(size <= 1, size**2, size).mean()

    assert check_gradients(without_constants, PRED, TARGET).ok


def test_a_branch_that_is_not_visited_is_not_checked():
    class LostSign(torch.autograd.Function):
        @staticmethod
        def forward(ctx, r):
            ctx.save_for_backward(r)
            return torch.where(r.abs() <= 1, r**2 / 2, r.abs() - 0.5).sum()

        @staticmethod
        def backward(ctx, grad):
            (r,) = ctx.saved_tensors
            return grad * r.clamp(max=1).where(r >= -1, torch.ones_like(r))

    def loss(pred, target):
        return LostSign.apply(pred - target)

    assert check_gradients(loss, PRED[[0, 2, 3]], TARGET[[0, 2, 3]]).ok
    report = check_gradients(loss, PRED, TARGET)
    assert verdicts(report) == ["wrong", "wrong"]
    assert "1 of 6 gradients" in report.inputs[0].reason
    assert "one branch or one term is at fault" in report.inputs[0].reason


def test_an_input_that_cannot_be_moved_is_not_called_wrong():
    logits, target = PRED, torch.tensor([0.0, 1, 1, 0, 1, 0])
    report = check_gradients(cl.BinaryFocalLoss(), logits, target)
    assert verdicts(report) == ["agrees", "fixed"]
    assert report.ok
    assert "refuses every other value" in str(report)


@pytest.mark.parametrize(
    "case",
    [c for c in CASES if not c.name.endswith(("vgg", "patches"))],
    ids=lambda case: case.name,
)
def test_every_loss_of_the_package_agrees_unless_part_of_it_is_detached(case):
    report = check_gradients(case.loss(), *case.draw())
    assert report.ok == case.gradcheck
    if not case.gradcheck:
        assert "detach" in str(report)


# ---------------------------------------------------------------- check_gradients: kinks


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_kink_is_no_bug(quantile):
    pred, target = doubles(0, 1), doubles(0, 0)
    for loss in (cl.QuantileLoss(quantile), cl.L1Loss()):
        report = check_gradients(loss, pred, target)
        assert report.ok
        assert verdicts(report) == ["kink", "kink"]
        assert report.inputs[0].kinks.tolist() == [True, False]
        assert "1 of 2 elements sit on a kink" in str(report)


def test_huber_at_delta_agrees_since_its_slope_has_no_jump():
    assert verdicts(check_gradients(cl.HuberLoss(), doubles(1, 5), doubles(0, 0))) == ["agrees"] * 2


@pytest.mark.parametrize("distance", [3e-6, 1e-4])
def test_near_a_kink_smaller_steps_find_the_slope(distance):
    report = check_gradients(cl.L1Loss(), doubles(distance, 1), doubles(0, 0))
    assert verdicts(report)[0] == "agrees"


def test_a_slope_outside_those_of_the_two_sides_is_a_bug_even_on_a_kink():
    class Absolute(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.abs().sum()

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * torch.where(x == 0, 3.0, x.sign())

    report = check_gradients(Absolute.apply, doubles(0, 1))
    assert verdicts(report) == ["wrong"]


def test_a_minimum_is_no_kink():
    assert verdicts(check_gradients(cl.MSELoss(), doubles(0, 2), doubles(0, 0))) == ["agrees"] * 2


# ---------------------------------------------------------------- check_gradients: what is wrong


class Doubled(torch.autograd.Function):
    """A square whose backward has a wrong factor."""

    factor = 4.0

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x**2).sum()

    @classmethod
    def backward(cls, ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * cls.factor * x


class Flipped(Doubled):
    factor = -2.0


@pytest.mark.parametrize(
    ("loss", "verdict", "words"),
    [
        (lambda x: (x.detach() ** 2).sum(), "wrong", "no gradient arrives: .* detach"),
        (lambda x: (x * x.detach()).sum(), "wrong", "each 0.5 times .* detach"),
        (lambda x: (x.data**2 + x).sum(), "wrong", "6 of 6 gradients .* detach"),
        (Doubled.apply, "wrong", "each 2 times .* DoubledBackward is hand-written"),
        (Flipped.apply, "wrong", "sign flipped; .* FlippedBackward is hand-written"),
        (lambda x: (x.float() ** 2).sum(), "float32", r"lower precision inside.*\.float\(\)"),
        (lambda x: (x.float() ** 2).double().sum(), "float32", "lower precision inside"),
        (
            lambda x: (x.sign() + x - x.detach()).sum(),
            "wrong",
            "value does not change: a threshold",
        ),
        (lambda x: (x * 0).sum() / 0, "not finite", r"the loss is nan here: look for log\(0\)"),
        (lambda x: (x * 0).sum().sqrt(), "not finite", "value is finite and 6 of 6 gradients"),
        (lambda x: (x * 0).sum(), "agrees", "these inputs teach nothing"),
    ],
)
def test_a_fault_is_named(loss, verdict, words):
    report = check_gradients(loss, PRED)
    check = report.inputs[0]
    assert check.verdict == verdict
    assert re.search(words, check.reason), check.reason
    assert report.ok == (verdict == "agrees")
    assert check.reason in str(report)


def test_float32_inputs_are_converted_and_that_is_said():
    assert "pred, target came in less than float64" in str(
        check_gradients(cl.MSELoss(), PRED, TARGET)
    )
    assert "came in" not in str(check_gradients(cl.MSELoss(), PRED.double(), TARGET.double()))


def test_a_small_wrong_gradient_does_not_hide_in_the_rounding():
    """One of 10 000 pixels: its gradient is 1e-4 of the loss, and half of it is detached."""
    pred, target = torch.ones(10_000), torch.zeros(10_000)
    report = check_gradients(lambda p: ((p - target) * (p - target).detach()).mean(), pred)
    assert verdicts(report) == ["wrong"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: check_gradients(torch.sum, torch.tensor([1])), ValueError, "needs a floating"),
        (lambda: check_gradients(lambda x: 1.0, PRED), ValueError, "must give a tensor, got float"),
        (lambda: check_gradients(cl.MSELoss(), PRED[:0], PRED[:0]), ValueError, "pred is empty"),
    ],
)
def test_check_gradients_refuses(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---------------------------------------------------------------- check_loss


def scalar(value: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(value, dtype=dtype, requires_grad=True)


@pytest.mark.parametrize(
    "value",
    [
        scalar(0.7),
        cl.GaussianNLLLoss()(*(scalar(v).reshape(1) for v in (0.0, 0.01, 0.0))),
        scalar(-1e30),
    ],
)
def test_a_finite_number_is_fine_even_below_zero(value):
    report = check_loss(value, "criterion")
    assert report.ok
    assert str(report).startswith("criterion")
    assert ("negative" in str(report)) == (value.item() < 0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (scalar(math.nan), "NaN: 0/0"),
        (scalar(math.inf), "infinite: .* ends at 3.4e"),
        (torch.tensor([1.0, math.nan, math.nan]), "2 of 3 values are NaN"),
        (torch.tensor([1.0, 2.0]), r"shape \(2,\) where one number is wanted"),
        (torch.zeros(0), r"shape \(0,\)"),
    ],
)
def test_a_value_that_cannot_be_trained_on(value, words):
    report = check_loss(value)
    assert not report.ok
    assert not report
    assert re.search(words, str(report)), str(report)


def test_a_documented_bound_is_tested():
    assert check_loss(scalar(-0.1)).ok
    assert not check_loss(scalar(-0.1), lower_bound=0).ok
    assert "below the least possible value 0" in str(check_loss(scalar(-0.1), lower_bound=0))
    assert check_loss(scalar(0.0), lower_bound=0).ok


def test_hints_that_are_no_faults():
    assert "exactly 0" in str(check_loss(scalar(0.0)))
    assert "no graph" in str(check_loss(torch.tensor(1.0)))
    assert "no graph" not in str(check_loss(scalar(1.0)))
    assert "float carries no graph" in str(check_loss(1.0))
    assert check_loss(torch.tensor(3)).ok


# ---------------------------------------------------------------- random_guess_loss


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_random_guess_is_log_c_and_a_number(classes):
    report = cl.random_guess_loss(classes)
    logits, targets = torch.zeros(classes, classes), torch.arange(classes)
    assert report == pytest.approx(math.log(classes))
    assert report == pytest.approx(nn.functional.cross_entropy(logits, targets).item(), rel=1e-6)
    assert f"{float(report):.4g}" in str(report)


def test_normal_logits_cost_more():
    """For two classes one integral over their difference, N(0, 2); for more a simulation."""
    density = stats.norm(scale=math.sqrt(2)).pdf
    exact = integrate.quad(lambda d: math.log1p(math.exp(d)) * density(d), -30, 30)[0]
    assert cl.random_guess_loss(2).with_normal_logits == pytest.approx(exact, rel=1e-9)
    logits = torch.randn(200_000, 10, generator=torch.Generator().manual_seed(0))
    costs = logits.logsumexp(1)
    error = costs.std().item() / math.sqrt(200_000)
    assert abs(cl.random_guess_loss(10).with_normal_logits - costs.mean().item()) < 4 * error
    assert cl.random_guess_loss(10_000).with_normal_logits == pytest.approx(
        math.log(10_000) + 0.5, abs=1e-3
    )


@pytest.mark.parametrize(("classes", "error"), [(1, ValueError), (2.5, TypeError)])
def test_random_guess_refuses(classes, error):
    with pytest.raises(error, match="num_classes must be"):
        cl.random_guess_loss(classes)


# ---------------------------------------------------------------- gradient_flow


def trained(*layers: nn.Module, scale: float = 1.0) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(*layers)
    for module in model:
        module.reset_parameters() if hasattr(module, "reset_parameters") else None
    (scale * model(torch.randn(16, 8)).pow(2).mean()).backward()
    return model


def deep(activation: type[nn.Module], depth: int = 10) -> list[nn.Module]:
    hidden = [layer for _ in range(depth) for layer in (nn.Linear(8, 8), activation())]
    return [*hidden, nn.Linear(8, 1)]


def test_a_healthy_network_passes():
    report = gradient_flow(trained(*deep(nn.Tanh, 2)))
    assert report.ok
    assert report.named("ok") == ("0", "2", "4")
    first = report.layers[0]
    assert first.gradient > 0
    assert 0 < first.strength < 100


def test_strength_is_the_gradient_over_the_weights():
    model = nn.Linear(2, 1, bias=False)
    model.weight.data = torch.tensor([[3.0, 4.0]])
    model.weight.grad = torch.tensor([[0.0, 10.0]])
    (layer,) = gradient_flow(model).layers
    assert (layer.name, layer.gradient, layer.strength, layer.zeros) == ("Linear", 10.0, 2.0, 0.5)


def test_ten_sigmoids_vanish_from_the_input_on():
    report = gradient_flow(trained(*deep(nn.Sigmoid)))
    assert not report
    assert report.named("vanishing")[:3] == ("0", "2", "4")
    assert "20" in report.named("ok")
    assert "saturating" in str(report)


def test_a_loss_too_small_for_float32_vanishes_everywhere():
    report = gradient_flow(trained(*deep(nn.Tanh, 1), scale=1e-12))
    assert report.named("vanishing") == ("0", "2")


def test_an_exploding_network_is_not_called_vanishing():
    model = nn.Sequential(*(nn.Linear(8, 8, bias=False) for _ in range(8)), nn.Linear(8, 1))
    torch.manual_seed(0)
    for layer in model[:-1]:
        nn.init.normal_(layer.weight, std=4.0)
    model(torch.randn(4, 8)).sum().backward()
    report = gradient_flow(model)
    assert "0" in report.named("exploding")
    assert report.named("vanishing") == ()
    assert "clip" in str(report)


def test_a_dead_layer_and_what_it_starves():
    model = nn.Sequential(*deep(nn.ReLU, 2))
    nn.init.constant_(model[2].bias, -100.0)
    model(torch.randn(16, 8)).sum().backward()
    report = gradient_flow(model)
    assert report.named("dead") == ("0", "2")
    assert "every gradient is 0" in str(report)


def test_parameters_without_gradient_and_frozen_ones():
    model = nn.ModuleDict(
        {"used": nn.Linear(2, 1), "idle": nn.Linear(2, 1), "old": nn.Linear(2, 2)}
    )
    model["old"].requires_grad_(False)
    model["used"](model["old"](torch.ones(3, 2))).sum().backward()
    report = gradient_flow(model)
    assert report.without_gradient == ("idle.weight", "idle.bias")
    assert report.named("frozen") == ("old",)
    assert report.named("no gradient") == ("idle",)
    assert not report.ok
    assert "idle.weight, idle.bias" in str(report)


def test_before_backward_it_says_so():
    assert "call backward first" in str(gradient_flow(nn.Linear(2, 1)))


def test_a_gradient_that_is_not_finite():
    model = nn.Linear(2, 1)
    (model(torch.ones(1, 2)).sum() * math.nan).backward()
    assert gradient_flow(model).named("not finite") == ("Linear",)


def test_a_layer_of_zeros_is_judged_by_its_gradient():
    model = nn.Linear(2, 1)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    model(torch.ones(1, 2)).sum().backward()
    (layer,) = gradient_flow(model).layers
    assert layer.strength == layer.gradient == pytest.approx(math.sqrt(3))


def test_gradient_flow_refuses_a_model_without_parameters():
    with pytest.raises(ValueError, match="model must have parameters, got ReLU"):
        gradient_flow(nn.ReLU())


# ---------------------------------------------------------------- pictures


def test_pictures_show_what_the_reports_say():
    gradient_axes = check_gradients(cl.L1Loss(), doubles(0, 1), doubles(0, 0)).plot()
    assert {text.get_text() for text in gradient_axes.get_legend().get_texts()} == {
        "pred",
        "pred, on a kink",
        "target",
        "target, on a kink",
    }
    report = gradient_flow(trained(*deep(nn.Sigmoid)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = report.plot()
    assert len(axes.patches) == len(report.layers)
    assert [label.get_text() for label in axes.get_yticklabels()] == [x.name for x in report.layers]
    assert report.plot(axes) is axes
    mpl.pyplot.close("all")
