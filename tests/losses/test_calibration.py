"""Calibration: closed forms, the numbers of the literature's mistakes, naive loops."""

import math
from fractions import Fraction

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

import course_losses as cl


def tensor(*values: object) -> torch.Tensor:
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


def relaxation(p: list[float], target: int = 0, alpha: float = 0.1) -> float:
    logits = torch.tensor([p], dtype=torch.float64).log()
    return cl.LabelRelaxationLoss(alpha=alpha)(logits, torch.tensor([target])).item()


# ---------------------------------------------------------------- label relaxation


def test_relaxation_by_hand():
    assert relaxation([0.5, 0.4, 0.1]) == pytest.approx(0.3681, abs=5e-5)
    expected = 0.9 * math.log(0.9 / 0.6) + 0.1 * math.log(0.1 / 0.4)
    assert relaxation([0.6, 0.3, 0.1]) == pytest.approx(expected, rel=1e-12)
    expected = 0.7 * math.log(0.7 / 0.3) + 0.3 * math.log(0.3 / 0.7)
    assert relaxation([0.6, 0.3, 0.1], target=1, alpha=0.3) == pytest.approx(expected, rel=1e-12)


def test_relaxation_is_not_smoothing():
    confident = [0.95, 0.025, 0.025]
    assert relaxation(confident) == 0
    logits, target = torch.tensor([confident]).log(), torch.tensor([0])
    smoothed = F.cross_entropy(logits, target, label_smoothing=0.1).item()
    assert smoothed == pytest.approx(0.2938, abs=5e-4)


def test_relaxation_is_the_divergence_from_the_projection():
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(50, 4, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (50,), generator=generator)
    for alpha in (0.05, 0.1, 0.3):
        expected = []
        for p, y in zip(logits.softmax(1), target.tolist(), strict=True):
            others = [k for k in range(4) if k != y]
            projected = alpha * p / p[others].sum()
            projected[y] = 1 - alpha
            divergence = (projected * (projected / p).log()).sum()
            expected.append(0.0 if p[y] >= 1 - alpha else divergence)
        assert 0 < expected.count(0.0) < 50
        assert_close(cl.LabelRelaxationLoss(alpha, "none")(logits, target), tensor(*expected))


def test_projection_is_the_closest_of_the_set():
    p = torch.tensor([0.5, 0.35, 0.15], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    first = 0.9 + 0.1 * torch.rand(5000, 1, generator=generator, dtype=torch.float64)
    share = torch.rand(5000, 1, generator=generator, dtype=torch.float64)
    q = torch.cat([first, (1 - first) * share, (1 - first) * (1 - share)], dim=1)
    divergences = (torch.xlogy(q, q) - q * p.log()).sum(1)
    assert relaxation(p.tolist()) <= divergences.min() < relaxation(p.tolist()) + 1e-3


@pytest.mark.parametrize("alpha", [0.1, 0.3])
def test_gradient_inside_and_outside(alpha):
    logits = torch.tensor([[2.0, 0.5, 0.0], [8.0, 0.0, 0.0]], dtype=torch.float64)
    logits.requires_grad_()
    cl.LabelRelaxationLoss(alpha, "sum")(logits, torch.tensor([1, 0])).backward()
    p = logits.detach().softmax(1)
    target = alpha * p[0] / (1 - p[0, 1])
    target[1] = 1 - alpha
    assert_close(logits.grad[0], p[0] - target)
    assert logits.grad[1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("size", [100.0, 104.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_saturated_logits(size, dtype):
    logits = torch.tensor([[size, 0, 0], [-size, 0, 0]], dtype=dtype, requires_grad=True)
    loss = cl.LabelRelaxationLoss(reduction="none")(logits, torch.tensor([0, 0]))
    loss.sum().backward()
    wrong = 0.9 * (math.log(0.9) + size + math.log(2)) + 0.1 * math.log(0.1)
    assert loss.tolist() == pytest.approx([0, wrong], rel=1e-6)
    assert logits.grad[0].tolist() == [0, 0, 0]
    assert logits.grad[1].tolist() == pytest.approx([-0.9, 0.45, 0.45], rel=1e-6)


def test_offsets_do_not_matter():
    logits, target = torch.tensor([[2.0, 0.5, 0.0]]), torch.tensor([1])
    assert_close(
        cl.LabelRelaxationLoss()(logits + 8192, target), cl.LabelRelaxationLoss()(logits, target)
    )


@pytest.mark.parametrize("gap", [-1e4, -30.0, -2.0, 0.0, 0.5, 1.0, 1.4, 2.0])
def test_relaxation_in_float32_against_mpmath(gap):
    logits = torch.tensor([[gap, 0.0]], requires_grad=True)
    loss = cl.LabelRelaxationLoss()(logits, torch.tensor([0]))
    loss.backward()
    with mpmath.workdps(40):
        p = 1 / (1 + mpmath.exp(-mpmath.mpf(logits[0, 0].item())))
        a = mpmath.mpf(0.1)
        expected = (1 - a) * mpmath.log((1 - a) / p) + a * mpmath.log(a / (1 - p))
        slope = p - (1 - a)
    assert loss.item() == pytest.approx(float(expected), rel=1e-5)
    assert logits.grad[0].tolist() == pytest.approx([float(slope), -float(slope)], rel=1e-5)


def test_small_alpha_approaches_cross_entropy():
    logits, target = torch.tensor([[0.3, -0.2, 0.1]], dtype=torch.float64), torch.tensor([1])
    assert_close(
        cl.LabelRelaxationLoss(alpha=1e-9)(logits, target),
        F.cross_entropy(logits, target),
        rtol=0,
        atol=1e-7,
    )


# ---------------------------------------------------------------- Brier


def test_brier_by_hand():
    probs = torch.tensor([[0.6, 0.4, 0.0], [0.6, 0.2, 0.2], [0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    result = cl.BrierLoss("none")(probs.double(), torch.tensor([0, 0, 1, 2]))
    expected = tensor(Fraction(8, 25), Fraction(6, 25), 0, 2)
    assert_close(result, expected, rtol=0, atol=1e-7)


def test_brier_by_one_hot():
    generator = torch.Generator().manual_seed(0)
    probs = torch.randn(9, 5, 2, generator=generator, dtype=torch.float64).softmax(1)
    target = torch.randint(0, 5, (9, 2), generator=generator)
    onehot = F.one_hot(target, 5).movedim(-1, 1)
    assert_close(cl.BrierLoss("none")(probs, target), ((probs - onehot) ** 2).sum(1))


def test_brier_keeps_small_errors():
    probs = torch.tensor([[1.0, 1e-12]], requires_grad=True)
    loss = cl.BrierLoss()(probs, torch.tensor([0]))
    loss.backward()
    assert loss.item() == pytest.approx(1e-24)
    assert probs.grad[0].tolist() == pytest.approx([0, 2e-12])


def test_brier_is_proper():
    truth = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    every = torch.arange(3)

    def expected(p: torch.Tensor) -> torch.Tensor:
        return (truth * cl.BrierLoss("none")(p.expand(3, 3), every)).sum()

    for other in ([0.6, 0.2, 0.2], [1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]):
        assert expected(truth) < expected(tensor(*other))


# ---------------------------------------------------------------- temperature


def overconfident(n: int, seed: int, factor: float = 3.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, 4, generator=generator, dtype=torch.float64)
    target = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    return factor * logits, target


@pytest.mark.parametrize("size", [1e-3, 1.0, 4.0, 1e5])
def test_fit_by_hand(size):  # three of four right: softmax gives 3/4 where size/T = log 3
    logits = torch.tensor([[size, 0.0]] * 4, dtype=torch.float64)
    scaler = cl.TemperatureScaling().double().fit(logits, torch.tensor([0, 0, 0, 1]))
    assert scaler.temperature.item() == pytest.approx(size / math.log(3), rel=1e-8)


@pytest.mark.parametrize("factor", [0.01, 0.5, 3.0, 1000.0])
def test_fit_recovers_the_temperature(factor):
    logits, target = overconfident(20_000, seed=0, factor=factor)
    scaler = cl.TemperatureScaling().fit(logits, target)
    assert scaler.temperature.item() == pytest.approx(factor, rel=0.05)


def test_fit_is_the_minimum_and_helps_on_other_data():
    scaler = cl.TemperatureScaling().double().fit(*overconfident(500, seed=0))
    logits, target = overconfident(500, seed=0)
    best = F.cross_entropy(scaler(logits), target)
    for other in (0.99, 1.01):
        assert best < F.cross_entropy(scaler(logits) * other, target)
    logits, target = overconfident(500, seed=1)
    assert F.cross_entropy(scaler(logits), target) < F.cross_entropy(logits, target) - 0.1
    before, after = logits.softmax(1), scaler(logits).softmax(1)
    ece = cl.expected_calibration_error
    assert ece(after, target) < ece(before, target) / 2
    assert (before.argmax(1) == after.argmax(1)).all()


def test_fit_changes_nothing_but_the_temperature():
    logits, target = overconfident(50, seed=0)
    logits.requires_grad_()
    before = logits.detach().clone()
    scaler = cl.TemperatureScaling()
    assert scaler.fit(logits, target) is scaler
    assert_close(logits.detach(), before, rtol=0, atol=0)
    assert logits.grad is None
    assert not scaler.temperature.requires_grad
    assert not list(scaler.parameters())
    assert list(scaler.state_dict()) == ["temperature"]
    scaled = scaler(logits)
    assert scaled.dtype == torch.float64
    assert_close(scaled, logits / scaler.temperature)
    scaled.sum().backward()
    assert_close(logits.grad, torch.full_like(logits, 1 / scaler.temperature.item()))


def test_temperature_is_one_before_the_fit():
    logits = torch.randn(3, 4)
    assert_close(cl.TemperatureScaling()(logits), logits, rtol=0, atol=0)
    assert cl.TemperatureScaling()(logits.half()).dtype == torch.float16


def test_fit_takes_maps():
    logits, target = overconfident(60, seed=0)
    maps = logits.unflatten(0, (6, 10)).movedim(-1, 1)
    expected = cl.TemperatureScaling().fit(logits, target).temperature
    assert_close(cl.TemperatureScaling().fit(maps, target.view(6, 10)).temperature, expected)


# ---------------------------------------------------------------- ECE


def test_ece_is_a_measure_and_carries_no_gradient():
    probs = torch.tensor([[0.9, 0.1], [0.8, 0.2]], requires_grad=True)
    assert not cl.expected_calibration_error(probs, torch.tensor([0, 1])).requires_grad


def naive_ece(probs: torch.Tensor, target: torch.Tensor, bins: int) -> float:
    rows = [(max(p), p.index(max(p)) == y) for p, y in zip(probs.tolist(), target, strict=True)]
    total = 0.0
    for b in range(bins):
        inside = [(c, hit) for c, hit in rows if b / bins < c <= (b + 1) / bins]
        if inside:
            confidence = sum(c for c, _ in inside) / len(inside)
            accuracy = sum(hit for _, hit in inside) / len(inside)
            total += len(inside) / len(rows) * abs(accuracy - confidence)
    return total


@pytest.mark.parametrize("bins", [1, 7, 15, 100])
def test_ece_against_a_loop(bins):
    logits, target = overconfident(300, seed=2)
    probs = logits.softmax(1)
    result = cl.expected_calibration_error(probs, target, bins)
    assert result.item() == pytest.approx(naive_ece(probs, target.tolist(), bins), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_bins_are_closed_above(dtype):
    confidence = torch.tensor([0.6, 0.8, 0.801, 1.0, 1.0], dtype=dtype)
    probs = torch.stack([confidence, 1 - confidence], dim=1)
    target = torch.tensor([0, 1, 0, 0, 1])
    curve = cl.reliability_curve(probs, target, bins=5)
    assert curve.counts.tolist() == [0, 0, 1, 1, 3]
    assert curve.confidence[2:].tolist() == pytest.approx([0.6, 0.8, 2.801 / 3])
    assert curve.accuracy[2:].tolist() == pytest.approx([1, 0, 2 / 3])
    assert curve.confidence[:2].isnan().all()
    assert curve.accuracy[:2].isnan().all()
    expected = (0.4 + 0.8 + 0.801) / 5
    assert cl.expected_calibration_error(probs, target, bins=5).item() == pytest.approx(expected)


def test_every_edge_belongs_to_the_bin_below():
    for dtype in (torch.float32, torch.float64):
        edges = (torch.arange(8, 16, dtype=torch.float64) / 15).to(dtype)
        probs = torch.stack([edges, 1 - edges], dim=1)
        counts = cl.reliability_curve(probs, torch.zeros(8, dtype=torch.long)).counts
        assert counts.tolist() == [0] * 7 + [1] * 8


def test_confidence_one_is_counted():
    probs = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert cl.expected_calibration_error(probs, torch.tensor([1, 0])) == 1
    assert cl.expected_calibration_error(probs, torch.tensor([0, 1])) == 0


def test_ece_of_the_default_bins():
    logits, target = overconfident(300, seed=2)
    probs = logits.softmax(1)
    result = cl.expected_calibration_error(probs, target)
    assert result.item() == pytest.approx(naive_ece(probs, target.tolist(), 15), rel=1e-12)


def test_default_is_fifteen_bins():
    probs, target = torch.tensor([[0.6, 0.4]]), torch.tensor([0])
    assert len(cl.reliability_curve(probs, target).counts) == 15
    assert cl.expected_calibration_error(probs, target).dtype == torch.float32


def test_ece_takes_maps_and_half_precision():
    logits, target = overconfident(60, seed=0)
    probs = logits.softmax(1)
    maps = probs.unflatten(0, (6, 10)).movedim(-1, 1)
    expected = cl.expected_calibration_error(probs, target)
    assert_close(cl.expected_calibration_error(maps, target.view(6, 10)), expected)
    half = cl.expected_calibration_error(probs.half(), target)
    assert half.item() == pytest.approx(
        cl.expected_calibration_error(probs.half().float(), target).item()
    )
