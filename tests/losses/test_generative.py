"""Generative losses: each game by hand, slopes that are known, and torch's own KL divergence."""

import math
from fractions import Fraction as Q

import mpmath
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.testing import assert_close

import course_losses as cl

MODES = ["minimax", "non_saturating", "wasserstein", "least_squares", "hinge"]


def tensor(*values: float | Q) -> torch.Tensor:
    return torch.tensor([float(v) for v in values], dtype=torch.float64)


# ---------------------------------------------------------------- the games by hand

REAL, FAKE = tensor(2, -1, 0.5), tensor(0.5, -3)


@pytest.mark.parametrize(
    ("mode", "discriminator", "generator"),
    [
        ("wasserstein", Q(-5, 4) - Q(1, 2), Q(5, 4)),
        ("least_squares", Q(21, 4) / 6 + Q(37, 4) / 4, (Q(1, 4) + 16) / 4),
        ("hinge", (2 + Q(1, 2)) / 3 + Q(3, 2) / 2, Q(5, 4)),
    ],
)
def test_value_by_hand(mode, discriminator, generator):
    game = cl.GANLoss(mode)
    assert_close(game.discriminator(REAL, FAKE), tensor(discriminator)[0])
    assert_close(game.generator(FAKE), tensor(generator)[0])


def test_the_two_games_of_the_original_paper_by_hand():
    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x))

    on_real = -sum(log_sigmoid(x) for x in REAL.tolist()) / 3
    on_fake = -sum(log_sigmoid(-x) for x in FAKE.tolist()) / 2
    for mode in ("minimax", "non_saturating"):
        assert_close(cl.GANLoss(mode).discriminator(REAL, FAKE).item(), on_real + on_fake)
    assert_close(cl.GANLoss("minimax").generator(FAKE).item(), -on_fake)
    fooling = -sum(log_sigmoid(x) for x in FAKE.tolist()) / 2
    assert_close(cl.GANLoss().generator(FAKE).item(), fooling)
    assert cl.GANLoss().mode == "non_saturating"


def test_the_discriminators_loss_is_binary_cross_entropy_on_both_batches():
    expected = F.binary_cross_entropy_with_logits(REAL, torch.ones_like(REAL))
    expected = expected + F.binary_cross_entropy_with_logits(FAKE, torch.zeros_like(FAKE))
    assert_close(cl.GANLoss().discriminator(REAL, FAKE), expected)


@pytest.mark.parametrize("mode", MODES)
def test_every_shape_of_logits(mode):
    game, patches = cl.GANLoss(mode), torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    whole = game.discriminator(*patches), game.generator(patches[1])
    flat = game.discriminator(*patches.flatten(1)), game.generator(patches[1].flatten())
    assert_close(whole, flat)
    assert_close(game.discriminator(REAL.mean(), FAKE.mean()).shape, torch.Size([]))


# ---------------------------------------------------------------- what the games do


@pytest.mark.parametrize("mode", MODES)
def test_each_side_pushes_its_own_way(mode):
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    cl.GANLoss(mode).discriminator(real, fake).backward()
    assert (real.grad <= 0).all() or mode == "least_squares"
    assert real.grad[1] < 0 < fake.grad[0]
    (slope,) = torch.autograd.grad(cl.GANLoss(mode).generator(fake), fake)
    assert (slope < 0).all()


def test_a_generator_far_behind_gets_a_gradient_only_if_it_does_not_saturate():
    fake = tensor(-5).requires_grad_()
    (minimax,) = torch.autograd.grad(cl.GANLoss("minimax").generator(fake), fake)
    (other,) = torch.autograd.grad(cl.GANLoss("non_saturating").generator(fake), fake)
    sigmoid = 1 / (1 + math.exp(5))
    assert_close(minimax, tensor(-sigmoid))
    assert_close(other, tensor(sigmoid - 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [20.0, 100.0, 1e4])
@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_logits_agree_with_float64(mode, size, sign):
    game = cl.GANLoss(mode)
    results = []
    for dtype in (torch.float32, torch.float64):
        real = torch.tensor([sign * size], dtype=dtype, requires_grad=True)
        fake = torch.tensor([-sign * size], dtype=dtype, requires_grad=True)
        loss = game.discriminator(real, fake)
        loss.backward()
        (slope,) = torch.autograd.grad(game.generator(fake), fake)
        results.append(torch.stack([loss, real.grad[0], fake.grad[0], slope[0]]).double())
    assert results[0].isfinite().all()
    assert_close(results[0], results[1], rtol=1e-5, atol=1e-37)


# ---------------------------------------------------------------- gradient penalty


def quadratic(x: torch.Tensor) -> torch.Tensor:
    """Slope x: the length of the slope is the length of the example."""
    return 0.5 * (x**2).reshape(len(x), -1).sum(1)


@pytest.mark.parametrize("shape", [(3,), (3, 4), (3, 2, 4), (3, 2, 4, 4), (3, 1, 2, 3, 2)])
def test_penalty_of_a_known_slope(shape):
    real, fake = torch.randn(2, *shape, dtype=torch.float64)
    u = torch.rand(3, generator=torch.Generator().manual_seed(1), dtype=torch.float32).double()
    u = u.reshape(-1, *[1] * (len(shape) - 1))
    lengths = (u * real + (1 - u) * fake).reshape(3, -1).norm(dim=1)
    result = cl.gradient_penalty(quadratic, real, fake, torch.Generator().manual_seed(1))
    assert_close(result, ((lengths - 1) ** 2).mean())


@pytest.mark.parametrize("output", ["vector", "column", "patches"])
def test_penalty_of_a_linear_critic_is_exact_whatever_the_output(output):
    weights = torch.tensor([[3.0, 0.0], [0.0, 4.0]])  # over all elements 5, over one axis 3 or 4

    def critic(x: torch.Tensor) -> torch.Tensor:
        parts = x[:, 0] * weights
        return {"vector": parts.sum((1, 2)), "column": parts.sum(2), "patches": parts}[output]

    result = cl.gradient_penalty(critic, torch.randn(6, 1, 2, 2), torch.randn(6, 1, 2, 2))
    assert_close(result, torch.tensor(16.0))


def test_penalty_draws_one_number_per_example_between_the_two():
    seen = []
    real, fake = torch.ones(50, 3, 2), torch.zeros(50, 3, 2)
    cl.gradient_penalty(lambda x: (seen.append(x.detach()), x.sum())[1], real, fake)
    (x,) = seen
    assert (x == x[:, :1, :1]).all()
    assert 0 <= x.min() < 0.2 < 0.8 < x.max() <= 1
    assert len(x[:, 0, 0].unique()) == 50


def test_penalty_is_reproducible_with_a_generator_and_leaves_the_global_one_alone():
    real, fake = torch.randn(2, 4, 3)

    def drawn(seed: int) -> torch.Tensor:
        return cl.gradient_penalty(quadratic, real, fake, torch.Generator().manual_seed(seed))

    state = torch.get_rng_state()
    assert drawn(1) == drawn(1) != drawn(2)
    assert (torch.get_rng_state() == state).all()


def test_penalty_trains_the_critic_and_only_the_critic():
    real, fake = torch.randn(2, 4, 3, dtype=torch.float64).requires_grad_()
    real, fake = real.detach().requires_grad_(), fake.detach().requires_grad_()
    critic = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()

    def penalty(*parameters: torch.Tensor) -> torch.Tensor:
        state = dict(zip(dict(critic.named_parameters()), parameters, strict=True))
        return cl.gradient_penalty(
            lambda x: torch.func.functional_call(critic, state, (x,)),
            real,
            fake,
            torch.Generator().manual_seed(0),
        )

    parameters = [p.detach().clone().requires_grad_() for p in critic.parameters()]
    assert torch.autograd.gradcheck(penalty, parameters)
    penalty(*critic.parameters()).backward()
    assert critic[0].weight.grad.abs().sum() > 0
    assert real.grad is None
    assert fake.grad is None


@pytest.mark.parametrize("slope", [0.0, 1e-30, 1e-3, 1e18])
def test_penalty_of_every_slope(slope):
    weight = torch.tensor([0.6, 0.8]).mul(slope).requires_grad_()
    penalty = cl.gradient_penalty(lambda x: x @ weight, torch.randn(2, 2), torch.randn(2, 2))
    penalty.backward()
    assert_close(penalty, torch.tensor((slope - 1) ** 2))
    expected = torch.tensor([0.6, 0.8]) * (2 * (slope - 1) if slope else 0)
    assert_close(weight.grad, expected)


def test_penalty_of_a_tiny_slope_beside_a_large_one():
    weight = torch.tensor([1e-30, 1e15])
    penalty = cl.gradient_penalty(lambda x: x @ weight, torch.ones(2, 2), torch.zeros(2, 2))
    assert_close(penalty, torch.tensor(1e30))


def test_penalty_of_a_half_precision_critic():
    critic = nn.Linear(300, 1, bias=False).bfloat16()
    with torch.no_grad():
        critic.weight.fill_(16)  # the squared length, 76 800, is beyond float16
    real = torch.zeros(2, 300, dtype=torch.bfloat16)
    penalty = cl.gradient_penalty(critic, real, real)
    assert penalty.dtype == torch.bfloat16
    assert_close(penalty, torch.tensor((16 * math.sqrt(300) - 1) ** 2).bfloat16())


# ---------------------------------------------------------------- variational autoencoder

X = torch.tensor([[[1.0, 0.0]], [[0.25, 1.0]], [[0.0, 0.0]]], dtype=torch.float64)
DECODED = torch.tensor([[[2.0, -1.0]], [[0.5, 0.0]], [[-3.0, 1.0]]], dtype=torch.float64)
MEAN = torch.tensor([[0.5, -1.0, 0.0], [2.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
LOG_VARIANCE = torch.tensor([[0.0, 1.0, -2.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]]).double()
INPUTS = (DECODED, X, MEAN, LOG_VARIANCE)


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 4.0])
def test_bound_against_torch_distributions(beta):
    likelihood = Bernoulli(logits=DECODED, validate_args=False).log_prob(X).sum((1, 2))
    kl = kl_divergence(Normal(MEAN, (0.5 * LOG_VARIANCE).exp()), Normal(0.0, 1.0)).sum(1)
    expected = -likelihood + beta * kl
    assert_close(cl.VAELoss(beta, reduction="none")(*INPUTS), expected)
    assert_close(cl.VAELoss(beta)(*INPUTS), expected.mean())
    assert_close(cl.VAELoss(beta, reduction="sum")(*INPUTS), expected.sum())


def test_gaussian_reconstruction_is_the_log_density_without_its_constant():
    likelihood = Normal(DECODED, 1.0).log_prob(X).sum((1, 2)) + math.log(2 * math.pi)
    reconstruction, _ = cl.VAELoss(reconstruction="gaussian", reduction="none").terms(*INPUTS)
    assert_close(reconstruction, -likelihood)


def test_kl_by_hand():
    _, kl = cl.VAELoss(reduction="none").terms(
        DECODED[:1], X[:1], tensor(3)[None], tensor(math.log(4))[None]
    )
    assert_close(kl, tensor(4.5 + 1.5 - math.log(2)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("reconstruction", ["bernoulli", "gaussian"])
def test_terms_add_up(reduction, reconstruction):
    loss = cl.VAELoss(0.3, reconstruction, reduction)
    rebuilt, kl = loss.terms(*INPUTS)
    assert_close(loss(*INPUTS), rebuilt + 0.3 * kl)
    assert rebuilt.shape == kl.shape == ((3,) if reduction == "none" else ())


def test_terms_of_half_precision_are_computed_in_float32():
    inputs = [x.bfloat16() for x in INPUTS]
    exact = cl.VAELoss().terms(*(x.float() for x in inputs))
    for term, value in zip(cl.VAELoss().terms(*inputs), exact, strict=True):
        assert_close(term, value.bfloat16(), rtol=0, atol=0)


def test_batch_is_averaged_and_features_are_summed():
    twice = tuple(torch.cat([x, x]) for x in INPUTS)
    assert_close(cl.VAELoss()(*twice), cl.VAELoss()(*INPUTS))
    wide = tuple(torch.cat([x, x], dim=-1) for x in INPUTS)
    assert_close(cl.VAELoss()(*wide), 2 * cl.VAELoss()(*INPUTS))


SIZES = [1e-15, 1e-8, 1e-4, 1e-2, 0.0999, 0.1, 0.1001, 0.5, 3.0, 50.0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_kl_of_every_log_variance_against_mpmath(size, sign, dtype):
    log_variance = torch.tensor([[sign * size]], dtype=dtype, requires_grad=True)
    zero = torch.zeros(1, 1, dtype=dtype)
    _, kl = cl.VAELoss().terms(zero, zero, zero, log_variance)
    kl.backward()
    with mpmath.workdps(60):
        exact = mpmath.mpf(log_variance.item())
        value = float((mpmath.exp(exact) - 1 - exact) / 2)
        slope = float((mpmath.exp(exact) - 1) / 2)
    tolerance = 3e-6 if dtype == torch.float32 else 1e-10
    assert kl.item() == pytest.approx(value, rel=tolerance, abs=0)
    assert log_variance.grad.item() == pytest.approx(slope, rel=tolerance, abs=0)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_reconstruction_of_extreme_logits(logit):
    decoded = torch.tensor([[logit, logit]], requires_grad=True)
    code = torch.zeros(1, 1)
    loss = cl.VAELoss()(decoded, torch.tensor([[1.0, 0.0]]), code, code)
    loss.backward()
    assert_close(loss, torch.tensor(1e4))
    assert_close(decoded.grad, torch.tensor([[0.0, 1.0] if logit > 0 else [-1.0, 0.0]]))


def test_default_is_the_bound():
    assert cl.VAELoss().beta == 1


def test_kl_of_a_small_log_variance_keeps_its_digits():
    log_variance = torch.tensor([[0.0999]], dtype=torch.float64)
    zero = torch.zeros_like(log_variance)
    kl = cl.VAELoss().terms(zero, zero, zero, log_variance)[1]
    with mpmath.workdps(40):
        expected = float((mpmath.expm1(mpmath.mpf(0.0999)) - mpmath.mpf(0.0999)) / 2)
    assert kl.item() == pytest.approx(expected, rel=2e-12)


def test_squares_beyond_half_precision_do_not_overflow():
    far, zero = torch.tensor([[300.0]], dtype=torch.float16), torch.zeros(1, 1).half()
    terms = cl.VAELoss(reconstruction="gaussian").terms(far, zero, far, zero)
    assert [term.item() for term in terms] == pytest.approx([45_000, 45_000], rel=1e-3)
    gan = cl.GANLoss("least_squares")
    assert gan.generator(far[0]).item() == pytest.approx(299**2 / 2, rel=1e-3)
    assert gan.discriminator(-far[0], zero[0]).item() == pytest.approx(301**2 / 2, rel=1e-3)


@pytest.mark.parametrize("reconstruction", ["bernoulli", "gaussian"])
def test_terms_in_half_precision_are_computed_in_float32(reconstruction):
    generator = torch.Generator().manual_seed(0)
    decoded, x, mean, log_variance = torch.rand(4, 3, 50, generator=generator).bfloat16()
    loss = cl.VAELoss(reconstruction=reconstruction)
    exact = loss.terms(decoded.float(), x.float(), mean.float(), log_variance.float())
    for term, expected in zip(loss.terms(decoded, x, mean, log_variance), exact, strict=True):
        assert_close(term, expected.bfloat16(), rtol=0, atol=0)
