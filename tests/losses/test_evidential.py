"""Evidential losses: distributions they stand for, by torch, scipy, mpmath and sampling."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Dirichlet, kl_divergence
from torch.testing import assert_close

import course_losses as cl

EVIDENCE = torch.tensor([[9.0, 0, 4], [0, 2, 1], [0, 0, 0], [0.5, 6, 20]], dtype=torch.float64)
CLASSES = torch.tensor([0, 2, 1, 1])
LOSSES = [
    cl.EvidentialLogLoss,
    cl.EvidentialCELoss,
    cl.EvidentialMSELoss,
    cl.EvidentialKLDivergence,
]


def values(loss, evidence=EVIDENCE, target=CLASSES) -> torch.Tensor:
    return loss(reduction="none")(evidence, target)


# ---------------------------------------------------------------- values worked out by hand


def harmonic(n: int) -> Fraction:
    return sum((Fraction(1, k) for k in range(1, n + 1)), Fraction(0))


def test_log_loss_by_hand():  # alpha (10, 1, 5), (1, 3, 2), (1, 1, 1)
    expected = torch.tensor([16 / 10, 6 / 2, 3 / 1], dtype=torch.float64).log()
    assert_close(values(cl.EvidentialLogLoss)[:3], expected)


def test_digamma_loss_by_hand():  # digamma(m) - digamma(n) = 1/n + ... + 1/(m - 1)
    expected = [harmonic(15) - harmonic(9), harmonic(5) - harmonic(1), harmonic(2)]
    assert_close(
        values(cl.EvidentialCELoss)[:3],
        torch.tensor([float(x) for x in expected], dtype=torch.float64),
    )


def test_mse_by_hand():
    first = Fraction(36 + 1 + 25, 256) + Fraction(10 * 6 + 15 + 5 * 11, 256 * 17)
    second = Fraction(1 + 9 + 16, 36) + Fraction(5 + 3 * 3 + 2 * 4, 36 * 7)
    third = Fraction(1 + 1 + 4, 9) + Fraction(2 + 2 + 2, 9 * 4)
    assert_close(
        values(cl.EvidentialMSELoss)[:3],
        torch.tensor([float(x) for x in (first, second, third)], dtype=torch.float64),
    )


def test_kl_by_hand():  # Dir(1, 1, 5): 4 (psi(5) - psi(7)) + log(6! / (2! 4!)); then Dir(1, 3, 1)
    first = math.log(15) - 4 * (Fraction(1, 5) + Fraction(1, 6))
    second = math.log(6) - 2 * (Fraction(1, 3) + Fraction(1, 4))
    assert_close(
        values(cl.EvidentialKLDivergence)[:3],
        torch.tensor([first, second, 0.0], dtype=torch.float64),
    )


def test_evidence_is_not_alpha():
    evidence, target = torch.tensor([[9.0, 0.0, 0.0]]), torch.tensor([0])
    assert cl.EvidentialLogLoss()(evidence, target).item() == pytest.approx(0.18232, abs=1e-5)
    assert cl.EvidentialLogLoss()(evidence + 1, target).item() == pytest.approx(0.31015, abs=1e-5)


# ---------------------------------------------------------------- what each loss stands for


def test_kl_is_that_of_torch_with_the_true_evidence_removed():
    alpha = EVIDENCE + 1
    alpha[torch.arange(4), CLASSES] = 1
    expected = kl_divergence(Dirichlet(alpha), Dirichlet(torch.ones_like(alpha)))
    assert_close(values(cl.EvidentialKLDivergence), expected)
    full = kl_divergence(Dirichlet(EVIDENCE + 1), Dirichlet(torch.ones_like(alpha)))
    assert (full - expected).abs().max() > 0.5  # the removal matters on these numbers


def test_evidence_for_the_true_class_is_free_of_kl():
    evidence = EVIDENCE.clone().requires_grad_()
    cl.EvidentialKLDivergence()(evidence, CLASSES).backward()
    assert_close(evidence.grad[torch.arange(4), CLASSES], torch.zeros(4, dtype=torch.float64))
    assert evidence.grad[0, 2] > 0
    more = EVIDENCE.clone()
    more[torch.arange(4), CLASSES] += 1e3
    assert_close(
        values(cl.EvidentialKLDivergence, more), values(cl.EvidentialKLDivergence), rtol=0, atol=0
    )


def test_expectations_by_sampling():
    generator = np.random.default_rng(0)
    for row, target in zip(EVIDENCE.numpy(), CLASSES.tolist(), strict=True):
        p = generator.dirichlet(row + 1, size=200_000)
        onehot = np.eye(3)[target]
        one = torch.tensor(row)[None], torch.tensor([target])
        sampled = [
            -math.log(p[:, target].mean()),
            -np.log(p[:, target]).mean(),
            ((onehot - p) ** 2).sum(1).mean(),
        ]
        for loss, expected in zip(LOSSES, sampled, strict=False):
            assert loss()(*one).item() == pytest.approx(expected, abs=0.01), loss.__name__


def test_jensen_gap_closes_with_evidence():
    for scale, gap in [(1, 0.3), (1e2, 0.01), (1e4, 1e-4)]:
        evidence = scale * torch.tensor([[1.0, 2.0, 1.0]], dtype=torch.float64)
        target = torch.tensor([0])
        difference = cl.EvidentialCELoss()(evidence, target) - cl.EvidentialLogLoss()(
            evidence, target
        )
        assert 0 < difference < gap


def test_class_dimension_is_the_second():
    maps = EVIDENCE.T[None].contiguous()  # (1, 3, 4): four positions
    for loss in LOSSES:
        assert_close(values(loss, maps, CLASSES[None]), values(loss)[None])


# ---------------------------------------------------------------- extremes


def exact(loss: type, evidence: list[mpmath.mpf], target: int) -> mpmath.mpf:
    alpha = [e + 1 for e in evidence]
    if loss is cl.EvidentialKLDivergence:
        alpha[target] = mpmath.mpf(1)
    total = sum(alpha)
    if loss is cl.EvidentialLogLoss:
        return mpmath.log(total / alpha[target])
    if loss is cl.EvidentialCELoss:
        return mpmath.digamma(total) - mpmath.digamma(alpha[target])
    if loss is cl.EvidentialMSELoss:
        means = [a / total for a in alpha]
        return sum(
            ((k == target) - p) ** 2 + p * (1 - p) / (total + 1) for k, p in enumerate(means)
        )
    mean_logs = sum((a - 1) * (mpmath.digamma(a) - mpmath.digamma(total)) for a in alpha)
    constants = mpmath.loggamma(total) - mpmath.loggamma(len(alpha))
    return constants - sum(map(mpmath.loggamma, alpha)) + mean_logs


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize(
    "row",
    [
        [1e-8, 1e-8, 1e-8],
        [0, 1e-8, 0],
        [1e-5, 1e-4, 1e-3],
        [0.03, 0.02, 0.01],
        [0.03, 0.01, 0.01],
        [0, 0.0029, 0],
        [0, 0.0031, 0],
        [1e7, 0, 0],
        [0, 1e7, 0],
        [1e7, 1e7, 1e7],
        [2e5, 0, 1e-8],
        [0, 2e10, 3e3],
        [2e10, 0, 3e3],
        [1e6, 1, 0],
        [1e5, 1e5, 0],
    ],
    ids=str,
)
def test_extreme_evidence_in_float32(loss, row):
    evidence = torch.tensor([row], requires_grad=True)
    result = loss()(evidence, torch.tensor([0]))
    result.backward()
    with mpmath.workdps(80):
        at = [mpmath.mpf(e) for e in evidence[0].tolist()]
        expected = float(exact(loss, at, 0))
        step = mpmath.mpf(10) ** -30
        slopes = [
            float(
                (exact(loss, moved(at, k, step), 0) - exact(loss, moved(at, k, -step), 0))
                / step
                / 2
            )
            for k in range(3)
        ]
    assert result.item() == pytest.approx(expected, rel=1e-5)
    assert evidence.grad[0].tolist() == pytest.approx(slopes, rel=1e-5)


def moved(at: list[mpmath.mpf], k: int, step: mpmath.mpf) -> list[mpmath.mpf]:
    return [e + step * (k == j) for j, e in enumerate(at)]


@pytest.mark.parametrize("true", [9e5, 1.1e6, 1e7])
def test_digamma_loss_around_its_seam(true):
    evidence = torch.tensor([[true, 3.0, 0.5]], dtype=torch.float64)
    with mpmath.workdps(60):
        at = [mpmath.mpf(e) for e in evidence[0].tolist()]
        expected = float(exact(cl.EvidentialCELoss, at, 0))
    result = cl.EvidentialCELoss()(evidence, torch.tensor([0]))
    assert result.item() == pytest.approx(expected, rel=2e-8 if true < 1e6 else 1e-12)


@pytest.mark.parametrize("classes", [2, 3, 50])
@pytest.mark.parametrize("share", [0.2, 0.999, 1.001, 5])
def test_kl_around_its_seam(classes, share):
    evidence = torch.zeros(1, classes, dtype=torch.float64)
    evidence[0, 1] = 1e-3 * classes * share
    with mpmath.workdps(60):
        at = [mpmath.mpf(e) for e in evidence[0].tolist()]
        expected = float(exact(cl.EvidentialKLDivergence, at, 0))
    result = cl.EvidentialKLDivergence()(evidence, torch.tensor([0]))
    assert result.item() == pytest.approx(expected, rel=1e-8)


# ---------------------------------------------------------------- regression

NIG = {
    "gamma": torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64),
    "nu": torch.tensor([0.3, 2.0, 1.0], dtype=torch.float64),
    "alpha": torch.tensor([1.5, 3.0, 1.2], dtype=torch.float64),
    "beta": torch.tensor([0.7, 0.2, 4.0], dtype=torch.float64),
}
Y = torch.tensor([1.5, -0.9, -3.0], dtype=torch.float64)


def test_nig_nll_by_hand():  # all parameters 1, error 0: log(pi)/2 - log 4 + 3/2 log 4 - log G(3/2)
    one = torch.ones(1, dtype=torch.float64)
    params = dict.fromkeys(NIG, one)
    assert_close(cl.EvidentialNIGNLLLoss()(params, one), torch.tensor(math.log(4.0)).double())
    assert_close(
        cl.EvidentialNIGNLLLoss()(params, 3 * one), torch.tensor(math.log(8 * 2**0.5)).double()
    )


def test_nig_nll_is_minus_the_log_density_of_a_student_t():
    gamma, nu, alpha, beta = (NIG[name].numpy() for name in ("gamma", "nu", "alpha", "beta"))
    scale = np.sqrt(beta * (1 + nu) / (nu * alpha))
    expected = -scipy.stats.t.logpdf(Y.numpy(), df=2 * alpha, loc=gamma, scale=scale)
    assert_close(cl.EvidentialNIGNLLLoss("none")(NIG, Y), torch.tensor(expected))


def test_nig_nll_is_the_marginal_of_the_hierarchy_by_sampling():
    generator = np.random.default_rng(1)
    gamma, nu, alpha, beta = (NIG[name].numpy() for name in ("gamma", "nu", "alpha", "beta"))
    variance = scipy.stats.invgamma.rvs(
        alpha, scale=beta, size=(400_000, 3), random_state=generator
    )
    mean = generator.normal(gamma, np.sqrt(variance / nu))
    density = scipy.stats.norm.pdf(Y.numpy(), mean, np.sqrt(variance)).mean(0)
    result = cl.EvidentialNIGNLLLoss("none")(NIG, Y)
    assert_close(result, -torch.tensor(density).log(), rtol=0, atol=0.02)


def test_nig_nll_cannot_tell_nu_from_beta():
    scale = NIG["beta"] * (1 + NIG["nu"]) / NIG["nu"]
    nu = 100 * NIG["nu"]
    moved = {**NIG, "nu": nu, "beta": scale * nu / (1 + nu)}
    assert_close(cl.EvidentialNIGNLLLoss("none")(moved, Y), cl.EvidentialNIGNLLLoss("none")(NIG, Y))


def test_regularization_by_hand():
    expected = torch.tensor([1 * 2.1, 0.1 * 7, 5 * 3.2], dtype=torch.float64)
    assert_close(cl.EvidentialRegressionRegularization("none")(NIG, Y), expected)


def test_regularization_is_free_on_target():
    nu = NIG["nu"].clone().requires_grad_()
    cl.EvidentialRegressionRegularization()({**NIG, "nu": nu}, NIG["gamma"]).backward()
    assert nu.grad.abs().sum() == 0


@pytest.mark.parametrize("loss", [cl.EvidentialNIGNLLLoss, cl.EvidentialRegressionRegularization])
def test_gradient_with_respect_to_every_parameter(loss):
    leaves = [NIG[name].clone().requires_grad_() for name in NIG]

    def of(*parameters):
        return loss()(dict(zip(NIG, parameters, strict=True)), Y)

    assert torch.autograd.gradcheck(of, leaves)
    assert torch.autograd.gradgradcheck(of, leaves)


@pytest.mark.parametrize(
    ("error", "nu", "alpha", "beta"),
    [
        (1e-3, 1.0, 1e6, 1.0),
        (3.0, 1e7, 1e7, 1e7),
        (0.0, 1e-8, 1 + 1e-6, 1e-8),
        (1e20, 1.0, 2.0, 1.0),
        (1e-20, 1e10, 2.0, 1e-30),
        (2.0, 1e-6, 99_999.0, 1e5),
        (2.0, 1e-6, 100_001.0, 1e5),
        (1e5, 1.0, 1e10, 1e12),
    ],
)
def test_extreme_parameters_in_float32(error, nu, alpha, beta):
    y = torch.tensor([error])
    params = {
        name: torch.tensor([value], requires_grad=True)
        for name, value in [("gamma", 0.0), ("nu", nu), ("alpha", alpha), ("beta", beta)]
    }
    result = cl.EvidentialNIGNLLLoss()(params, y)
    result.backward()

    def density(gamma, nu, alpha, beta):
        omega = 2 * beta * (1 + nu)
        return (
            mpmath.log(mpmath.pi / nu) / 2
            - alpha * mpmath.log(omega)
            + (alpha + 0.5) * mpmath.log((mpmath.mpf(y.item()) - gamma) ** 2 * nu + omega)
            + mpmath.loggamma(alpha)
            - mpmath.loggamma(alpha + 0.5)
        )

    with mpmath.workdps(120):
        at = [mpmath.mpf(p.item()) for p in params.values()]
        expected = float(density(*at))
        slopes = []
        for k in range(4):
            step = mpmath.mpf(10) ** -40 * (at[k] or 1)
            up, down = density(*moved(at, k, step)), density(*moved(at, k, -step))
            slopes.append(float((up - down) / step / 2))
    assert result.item() == pytest.approx(expected, rel=1e-5)
    assert [p.grad.item() for p in params.values()] == pytest.approx(slopes, rel=1e-5, abs=1e-37)


# ---------------------------------------------------------------- heads


def test_dirichlet_head_gives_evidence():
    torch.manual_seed(0)
    head = cl.DirichletHead(5, 3)
    features = 100 * torch.randn(50, 5)
    evidence = head(features)
    assert evidence.shape == (50, 3)
    assert (evidence >= 0).all()
    assert_close(evidence, torch.logaddexp(head.linear(features), torch.zeros(())))
    target = torch.zeros(50, dtype=torch.long)
    cl.EvidentialLogLoss()(evidence, target).backward()
    assert (head.linear.weight.grad != 0).all()


@pytest.mark.parametrize("outputs", [1, 2])
def test_nig_head_stays_inside_the_bounds(outputs):
    torch.manual_seed(0)
    head = cl.NormalInverseGammaHead(5, outputs)
    features = 1e3 * torch.randn(50, 5)
    params = head(features)
    assert {name: p.shape for name, p in params.items()} == dict.fromkeys(NIG, (50, outputs))
    assert (params["nu"] > 0).all()
    assert (params["alpha"] > 1).all()
    assert (params["beta"] > 0).all()
    raw = head.linear(features).unflatten(-1, (4, outputs))
    zero = torch.zeros(())
    assert_close(params["gamma"], raw[:, 0])
    assert_close(params["nu"], torch.logaddexp(raw[:, 1], zero), rtol=1e-6, atol=2e-7)
    assert_close(params["alpha"], 1 + torch.logaddexp(raw[:, 2], zero), rtol=1e-6, atol=2e-7)
    assert_close(params["beta"], torch.logaddexp(raw[:, 3], zero), rtol=1e-6, atol=2e-7)
    cl.EvidentialNIGNLLLoss()(params, torch.randn(50, outputs)).backward()
    assert head.linear.weight.grad.isfinite().all()


def test_nig_head_splits_the_last_dimension_whatever_comes_before():
    torch.manual_seed(0)
    features = torch.randn(2, 7, 3)
    for head, outputs in ((cl.NormalInverseGammaHead(3), 1), (cl.NormalInverseGammaHead(3, 5), 5)):
        params = head(features)
        assert {name: p.shape for name, p in params.items()} == dict.fromkeys(NIG, (2, 7, outputs))


def test_one_negative_evidence_among_others_is_found():
    with pytest.raises(ValueError, match=r"got -0\.5"):
        cl.EvidentialLogLoss()(torch.tensor([[3.0, -0.5, 1.0]]), torch.tensor([0]))


def test_the_first_missing_parameter_is_named():
    params = {name: p for name, p in NIG.items() if name in ("gamma", "alpha")}
    with pytest.raises(ValueError, match="nu is missing"):
        cl.EvidentialNIGNLLLoss()(params, Y)


@pytest.mark.parametrize("alpha", [9e4, 2e5])
def test_nig_nll_around_the_seam_of_its_gammas(alpha):
    one = torch.ones(1, dtype=torch.float64)
    params = {"gamma": one, "nu": one, "alpha": alpha * one, "beta": alpha * one}
    expected = -scipy.stats.t.logpdf(2.5, df=2 * alpha, loc=1, scale=math.sqrt(2))
    result = cl.EvidentialNIGNLLLoss()(params, 2.5 * one).item()
    assert result == pytest.approx(expected, abs=1e-8)


def test_the_bayes_risk_of_much_evidence_to_the_last_digits():
    evidence = torch.tensor([[3e6, 2e6]], dtype=torch.float64)
    exact = mpmath.digamma(5e6 + 2) - mpmath.digamma(3e6 + 1)
    assert cl.EvidentialCELoss()(evidence, torch.tensor([0])).item() == pytest.approx(
        float(exact), rel=1e-12
    )


@pytest.mark.parametrize("x", [1e-9, 1e-6, 1e-3, 0.1])
@pytest.mark.parametrize("c", [2, 10])
def test_the_term_of_the_total_where_its_parts_cancel(x, c):
    with mpmath.workdps(60):
        big = mpmath.mpf(x)
        exact = big * mpmath.digamma(big + c) - mpmath.loggamma(big + c) + mpmath.loggamma(c)
        expected = float(exact)
    term = cl.EvidentialKLDivergence.total_term(torch.tensor(x, dtype=torch.float64), c)
    assert term.item() == pytest.approx(expected, rel=1e-6, abs=0)
