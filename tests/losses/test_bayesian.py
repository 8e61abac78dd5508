"""Layers beside torch's, the KL beside torch.distributions, the ELBO beside Bayes' rule."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

import course_losses as cl


def silenced(model: nn.Module) -> nn.Module:
    """The same model with stds of 0: it computes what its means compute."""
    model = copy.deepcopy(model)
    for name, parameter in model.named_parameters():
        if name.endswith("rho"):
            nn.init.constant_(parameter, -1e3)
    return model


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(150, 4)
    )


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_a_linear_of_its_sample(bias):
    torch.manual_seed(0)
    layer, x = cl.BayesianLinear(3, 2, bias=bias), torch.randn(2, 5, 3)
    names = {"weight_mean", "weight_rho"} | ({"bias_mean", "bias_rho"} if bias else set())
    assert {name for name, _ in layer.named_parameters()} == names
    torch.manual_seed(1)
    result = layer(x)
    torch.manual_seed(1)
    weight = layer.weight_mean + layer.weight_std * torch.randn(2, 3)
    offset = layer.bias_mean + layer.bias_std * torch.randn(2) if bias else None
    assert_close(result, F.linear(x, weight, offset))
    assert (layer.bias_std is None) is not bias


@pytest.mark.parametrize("posterior_std", [1e-4, 0.05, 3.0, 100.0])
def test_stds_start_where_asked(posterior_std):
    layer = cl.BayesianLinear(3, 2, posterior_std=posterior_std)
    assert_close(layer.weight_std, torch.full((2, 3), posterior_std), rtol=1e-4, atol=0)
    assert_close(layer.bias_std, torch.full((2,), posterior_std), rtol=1e-4, atol=0)
    assert_close(layer.weight_std, F.softplus(layer.weight_rho))


def test_defaults():
    layers = cl.BayesianLinear(2, 2), cl.BayesianConv2d(2, 2, 3), cl.bayesian(nn.Linear(2, 2))
    for layer in layers:
        assert layer.prior_std == 1.0
        assert_close(layer.weight_std, torch.full_like(layer.weight_mean, 0.05))
        assert layer.bias_mean is not None
    assert layers[1].stride == layers[1].dilation == (1, 1)
    assert layers[1].padding == (0, 0)
    assert layers[1].groups == 1


@pytest.mark.parametrize("bias", [True, False])
def test_repr_tells_whether_there_is_a_bias(bias):
    shown = "BayesianLinear(in_features=2, out_features=3, bias={}, prior_std=1.0)"
    assert repr(cl.BayesianLinear(2, 3, bias=bias)) == shown.format(bias)


def test_samples_have_the_stated_mean_and_std():
    torch.manual_seed(0)
    layer = cl.BayesianLinear(2, 1, posterior_std=0.5)
    draws = torch.stack([layer(torch.tensor([[2.0, -1.0]])) for _ in range(4000)])
    mean = layer.weight_mean @ torch.tensor([2.0, -1.0]) + layer.bias_mean
    assert_close(draws.mean(), mean[0], rtol=0, atol=0.06)
    assert_close(draws.std(), torch.tensor(0.5 * math.sqrt(4 + 1 + 1)), rtol=0.05, atol=0)


def test_every_call_draws_anew_in_training_and_evaluation():
    model = cl.bayesian(network())
    x = torch.randn(2, 3, 5, 5)
    for mode in (True, False):
        model.train(mode)
        assert not torch.equal(model(x), model(x))


def test_gradients_reach_means_and_spreads():
    layer = cl.BayesianConv2d(2, 4, 3, groups=2)
    layer(torch.randn(1, 2, 5, 5)).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


OPTIONS = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (2, 1), "padding": (2, 0), "dilation": (1, 2)},
    {"groups": 2, "bias": False},
    {"padding": "same", "dilation": 2},
    {"padding": "valid"},
    {"padding": (1, 2), "padding_mode": "reflect"},
    {"padding": (2, 1), "padding_mode": "circular", "stride": 2},
    {"padding": "same", "padding_mode": "replicate", "dilation": (2, 1)},
    {"padding": "valid", "padding_mode": "circular"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kernel", [3, (2, 3)], ids=str)
def test_convolution_is_that_of_torch(options, kernel):
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 6, kernel, **options).double()
    x = torch.randn(2, 4, 9, 10, dtype=torch.float64)
    for layer in (cl.bayesian(plain), cl.BayesianConv2d(4, 6, kernel, **options).double()):
        quiet = silenced(layer)
        plain.weight.data = quiet.weight_mean.data
        if plain.bias is not None:
            plain.bias.data = quiet.bias_mean.data
        assert_close(quiet(x), plain(x))
        assert_close(quiet(x[0]), plain(x[0]))
        assert f"stride={plain.stride}" in repr(layer)


def test_initial_means_are_those_of_torch():
    torch.manual_seed(3)
    layers = cl.BayesianLinear(4, 3), cl.BayesianConv2d(4, 3, 2)
    torch.manual_seed(3)
    for layer, plain in zip(layers, (nn.Linear(4, 3), nn.Conv2d(4, 3, 2)), strict=True):
        assert_close(layer.weight_mean, plain.weight)
        assert_close(layer.bias_mean, plain.bias)


# ---------------------------------------------------------------- conversion


def test_conversion_keeps_the_network_and_the_original():
    plain = network()
    before = copy.deepcopy(plain.state_dict())
    model = cl.bayesian(plain)
    assert [type(part) for part in model] == [
        *(cl.BayesianConv2d, nn.BatchNorm2d, nn.ReLU, nn.Flatten, cl.BayesianLinear)
    ]
    assert [type(part) for part in plain][::4] == [nn.Conv2d, nn.Linear]
    x = torch.randn(2, 3, 5, 5)
    assert_close(silenced(model).eval()(x), copy.deepcopy(plain).eval()(x))
    for parameter in model.parameters():
        parameter.data.add_(1)
    for name, value in plain.state_dict().items():
        assert_close(value, before[name], rtol=0, atol=0)


def test_conversion_keeps_dtype_mode_and_frozen_layers():
    plain = network().double().eval()
    plain[0].requires_grad_(False)
    model = cl.bayesian(plain, prior_std=2.0, posterior_std=0.3)
    assert all(p.dtype == torch.float64 for p in model.parameters())
    assert not any(part.training for part in model.modules())
    assert not any(p.requires_grad for p in model[0].parameters())
    assert all(p.requires_grad for p in model[4].parameters())
    assert model[0].prior_std == model[4].prior_std == 2.0
    assert_close(model[0].weight_std, torch.full_like(model[0].weight_mean, 0.3))
    on_meta = cl.bayesian(nn.Linear(2, 2, device="meta"))
    assert {p.device.type for p in on_meta.parameters()} == {"meta"}


def test_conversion_reaches_nested_layers_and_leaves_what_it_does_not_know():
    class Special(nn.Linear):
        pass

    known = cl.BayesianLinear(2, 2, prior_std=7.0)
    model = cl.bayesian(
        nn.ModuleDict({"a": nn.ModuleList([nn.Linear(2, 2)]), "b": Special(2, 2), "c": known})
    )
    assert type(model["a"][0]) is cl.BayesianLinear
    assert type(model["b"]) is Special
    assert model["c"].prior_std == 7.0
    assert type(cl.bayesian(nn.Linear(2, 2, bias=False))) is cl.BayesianLinear


def test_a_shared_layer_stays_shared():
    layer = nn.Linear(2, 2)
    model = cl.bayesian(nn.Sequential(layer, nn.Tanh(), layer))
    assert model[0] is model[2]
    assert_close(cl.collect_kl_divergence(model), model[0].kl_divergence())


def test_conversion_draws_no_random_numbers():
    plain = network()
    torch.manual_seed(5)
    cl.bayesian(plain)
    first = torch.rand(1)
    torch.manual_seed(5)
    assert_close(first, torch.rand(1), rtol=0, atol=0)


def test_state_can_be_saved_and_loaded():
    model, other = cl.bayesian(network()), cl.bayesian(network(), posterior_std=0.9)
    other.load_state_dict(model.state_dict())
    assert_close(cl.collect_kl_divergence(other), cl.collect_kl_divergence(model))


# ---------------------------------------------------------------- KL


def by_distributions(model: nn.Module, loc: float, scale: float) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for name, mean in model.named_parameters():
        if name.endswith("mean"):
            rho = model.get_parameter(name.replace("mean", "rho"))
            total += kl_divergence(Normal(mean, F.softplus(rho)), Normal(loc, scale)).sum()
    return total


def test_kl_beside_torch_distributions():
    model = nn.Sequential(
        cl.BayesianConv2d(2, 3, 2, bias=False, prior_std=0.4),
        cl.BayesianLinear(3, 2, prior_std=0.4, posterior_std=0.7),
    ).double()
    assert_close(cl.collect_kl_divergence(model), by_distributions(model, 0, 0.4))
    assert_close(cl.collect_kl_divergence(model, 0.3, 2.5), by_distributions(model, 0.3, 2.5))
    for parameter in model.parameters():
        parameter.requires_grad_()
    cl.collect_kl_divergence(model).backward()
    gradients = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    by_distributions(model, 0, 0.4).backward()
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert_close(gradient, parameter.grad)


def test_kl_by_hand_and_at_the_prior():
    layer = cl.BayesianLinear(1, 1, bias=False, prior_std=2.0, posterior_std=1.0).double()
    nn.init.constant_(layer.weight_mean, 3.0)
    expected = math.log(2) + (1 + 9) / 8 - 0.5
    assert layer.kl_divergence().item() == pytest.approx(expected, rel=1e-7)
    nn.init.zeros_(layer.weight_mean)
    assert layer.kl_divergence(0.0, 1.0).item() == pytest.approx(0, abs=1e-12)


# ---------------------------------------------------------------- the exact posterior

# y = w x + noise of std 1, prior N(0, 1), 50 points. Posterior precision: 1 + sum(x²).
POINTS = 50
X = torch.linspace(-1, 1, POINTS, dtype=torch.float64)[:, None]
X = X * math.sqrt((0.17528**-2 - 1) / (X**2).sum().item())
Y = 0.8 * X + torch.randn(
    POINTS, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
)
HALF_SQUARE = cl.HuberLoss(delta=1e9)  # minus the log-density of a unit normal, without constant


def fitted(criterion: nn.Module, model: cl.BayesianLinear) -> tuple[float, float]:
    """Mean and std of the weight at the minimum of the expected criterion.

    The loss is quadratic in the weight, so the two samples mean ± std give the expectation.
    """
    optimizer = torch.optim.LBFGS(
        model.parameters(),
        max_iter=500,
        tolerance_grad=1e-13,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        weights = torch.stack(
            [model.weight_mean + model.weight_std, model.weight_mean - model.weight_std]
        )
        loss = criterion(X * weights, Y)
        loss.backward()
        return loss

    optimizer.step(closure)
    return model.weight_mean.item(), model.weight_std.item()


@pytest.mark.parametrize(
    ("arguments", "std"),
    [
        ({}, 0.17528),
        ({"reduction": "sum"}, 0.17528),
        ({"kl_weight": POINTS}, 0.783),  # the KL counted once per example
        ({"kl_weight": 1e-5 * POINTS}, 0.00398),  # a penalty of 1e-5 beside a mean
        ({"prior_scale": 0.1}, (0.17528**-2 - 1 + 100) ** -0.5),
    ],
    ids=str,
)
def test_minimum_beside_the_exact_posterior(arguments, std):
    model = cl.BayesianLinear(1, 1, bias=False, posterior_std=0.3).double()
    criterion = cl.VariationalFreeEnergy(HALF_SQUARE, model, POINTS, **arguments)
    mean, spread = fitted(criterion, model)
    assert spread == pytest.approx(std, rel=1e-3)
    if "kl_weight" not in arguments:
        assert mean == pytest.approx((X * Y).sum().item() * std**2, rel=1e-3)


def test_prior_loc_moves_the_posterior():
    model = cl.BayesianLinear(1, 1, bias=False, posterior_std=0.3).double()
    criterion = cl.VariationalFreeEnergy(
        HALF_SQUARE, model, POINTS, prior_loc=-2.0, prior_scale=0.1
    )
    mean, _ = fitted(criterion, model)
    precision = (X**2).sum().item() + 100
    assert mean == pytest.approx(((X * Y).sum().item() - 200) / precision, rel=1e-4)


# ---------------------------------------------------------------- weights of the KL


def test_minibatches_of_any_size_add_up_to_the_whole():
    torch.manual_seed(0)
    model = cl.BayesianLinear(3, 4).double()
    x, y = torch.randn(60, 3, dtype=torch.float64), torch.randint(0, 4, (60,))
    logits, kl = x @ model.weight_mean.T, cl.collect_kl_divergence(model)
    whole = F.cross_entropy(logits, y, reduction="sum") + kl
    summed = cl.VariationalFreeEnergy(nn.CrossEntropyLoss(), model, 60, reduction="sum")
    averaged = cl.VariationalFreeEnergy(nn.CrossEntropyLoss(), model, 60)
    elbo = cl.ELBOLoss(kl_penalty=1 / 60)
    elbo_sum = cl.ELBOLoss(kl_penalty=1 / 60, reduction="sum")
    batches = list(zip(logits.split([25, 25, 10]), y.split([25, 25, 10]), strict=True))
    assert_close(sum(summed(z, t) for z, t in batches), whole)
    assert_close(sum(len(t) * averaged(z, t) for z, t in batches), whole)
    assert_close(sum(len(t) * elbo(z, t, kl) for z, t in batches), whole)
    assert_close(sum(elbo_sum(z, t, kl) for z, t in batches), whole)


def test_parts_of_the_elbo_add_up():
    logits, y = torch.randn(5, 3, dtype=torch.float64), torch.tensor([0, 2, 1, 1, 0])
    kl = torch.tensor(37.0, requires_grad=True)
    loss = cl.ELBOLoss(kl_penalty=0.002)(logits, y, kl)
    assert_close(loss, F.cross_entropy(logits, y) + 0.002 * 37)
    loss.backward()
    assert kl.grad.item() == pytest.approx(0.002)
    none = cl.ELBOLoss(kl_penalty=0.002, reduction="none")(logits, y, kl)
    assert_close(none, F.cross_entropy(logits, y, reduction="none") + 0.002 * 37)


@pytest.mark.parametrize("samples", [(), (1,), (4,), (2, 3)], ids=str)
def test_free_energy_with_any_sample_dimensions(samples):
    torch.manual_seed(0)
    model = cl.BayesianLinear(3, 4).double()
    kl = cl.collect_kl_divergence(model)
    pred = torch.randn(*samples, 7, 4, dtype=torch.float64)
    classes, values = torch.randint(0, 4, (7,)), torch.randn(7, 4, dtype=torch.float64)
    maps = torch.randn(*samples, 7, 4, 2, dtype=torch.float64)
    pixels = torch.randint(0, 4, (7, 2))
    for nll, p, target in [
        (nn.CrossEntropyLoss(), pred, classes),
        (cl.CrossEntropyLoss(), maps, pixels),
        (nn.MSELoss(), pred, values),
        (cl.BCEWithLogitsLoss(), pred, values.sigmoid()),
    ]:
        one = [nll(q, target) for q in p.reshape(-1, *p.shape[len(samples) :])]
        mean = torch.stack(one).mean()
        free = cl.VariationalFreeEnergy(nll, model, num_data=50, kl_weight=0.3)
        assert_close(free(p, target), mean + 0.3 * kl / 50)
        free = cl.VariationalFreeEnergy(nll, model, num_data=50, kl_weight=0.3, reduction="sum")
        assert_close(free(p, target), mean * target.numel() + 0.3 * kl * 7 / 50)


def test_several_outputs_need_the_documented_weight():
    model = cl.BayesianLinear(3, 4).double()
    pred, target = torch.randn(2, 5, 7, 4, dtype=torch.float64), torch.randn(7, 4).double()
    summed = cl.VariationalFreeEnergy(cl.MSELoss(), model, 50, reduction="sum")
    averaged = cl.VariationalFreeEnergy(cl.MSELoss(), model, 50, kl_weight=1 / 4)
    assert_close(averaged(pred, target), summed(pred, target) / (7 * 4))


def test_prior_of_the_free_energy():
    model = cl.BayesianLinear(3, 4, prior_std=0.5).double()
    pred, target = torch.zeros(2, 4).double(), torch.tensor([0, 1])
    for arguments, loc, scale in [
        ({}, 0.0, 0.5),
        ({"prior_loc": 1.5}, 1.5, 0.5),
        ({"prior_scale": 3.0}, 0.0, 3.0),
        ({"prior_loc": -1.0, "prior_scale": 2.0}, -1.0, 2.0),
    ]:
        free = cl.VariationalFreeEnergy(nn.CrossEntropyLoss(), model, 1, **arguments)
        assert_close(free(pred, target), math.log(4) + by_distributions(model, loc, scale))


@pytest.mark.parametrize("own", ["mean", "sum", "none"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_nll_of_the_caller_stays_as_it_is(own, reduction):
    weight = torch.tensor([1.0, 2.0, 3.0])
    nll = nn.CrossEntropyLoss(weight=weight, reduction=own)
    model = cl.BayesianLinear(2, 3)
    free = cl.VariationalFreeEnergy(nll, model, 10, kl_weight=0, reduction=reduction)
    logits, target = torch.randn(4, 5, 3), torch.tensor([0, 2, 1, 1, 0])
    expected = torch.stack(
        [F.cross_entropy(z, target, weight, reduction=reduction) for z in logits]
    )
    assert_close(free(logits, target), expected.mean())
    free.double()
    assert nll.reduction == own
    assert own == reduction or nll.weight.dtype == torch.float32


def test_a_kl_beyond_half_precision_does_not_overflow():
    model = cl.BayesianLinear(3, 4, prior_std=1e-3)
    free = cl.VariationalFreeEnergy(nn.MSELoss(), model, num_data=10**6)
    kl = cl.collect_kl_divergence(model)
    assert kl > 2 * torch.finfo(torch.float16).max
    zeros = torch.zeros(2, 4, dtype=torch.float16)
    assert_close(free(zeros, zeros), (kl / 10**6).half(), rtol=0, atol=0)


def test_negative_elbo_is_an_alias():
    assert cl.NegativeELBO is cl.VariationalFreeEnergy


def test_free_energy_trains_the_spread():
    torch.manual_seed(0)
    model = cl.BayesianLinear(3, 4)
    x, y = torch.randn(6, 3), torch.randint(0, 4, (6,))
    pred = torch.stack([model(x) for _ in range(3)])
    cl.VariationalFreeEnergy(nn.CrossEntropyLoss(), model, 60)(pred, y).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


# ---------------------------------------------------------------- expected losses

VALUES = torch.randn(2, 3, 7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
TARGET = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
INDICES = torch.tensor([0, 3, 1, 1, 2, 0, 3])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(
    ("base", "target"),
    [
        (nn.MSELoss, TARGET),
        (nn.SmoothL1Loss, TARGET),
        (nn.BCEWithLogitsLoss, TARGET.sigmoid()),
        (nn.CrossEntropyLoss, INDICES),
        (nn.CrossEntropyLoss, TARGET.softmax(-1)),
        (lambda reduction: nn.CrossEntropyLoss(TARGET[0].exp(), reduction=reduction), INDICES),
        (lambda reduction: nn.CrossEntropyLoss(ignore_index=1, reduction=reduction), INDICES),
        (nn.NLLLoss, INDICES),
        (cl.MSELoss, TARGET),
        (cl.HuberLoss, TARGET),
        (cl.LogCoshLoss, TARGET),
    ],
)
def test_expected_loss_beside_vmap(base, target, reduction):
    loss = base(reduction=reduction)
    repeated = target.expand(6, *target.shape)
    expected = torch.vmap(loss)(VALUES.flatten(0, 1), repeated)
    if reduction == "none":
        expected = expected.unflatten(0, (2, 3))
    result = cl.ExpectedLoss(base(reduction="mean"), 2, reduction)(VALUES, target)
    inherited = cl.ExpectedLoss(loss, sample_dims=2)(VALUES, target)
    if reduction == "mean":
        expected = expected.mean()
    if reduction == "sum":
        expected = expected.sum()
    assert_close(result, expected)
    assert_close(inherited, expected)


def test_expected_loss_of_a_set_does_not_mix_the_samples():
    probs = VALUES.sigmoid()
    mask = (TARGET > 0).double()
    loss = cl.DiceLoss()
    expected = torch.stack([loss(p, mask) for p in probs.flatten(0, 1)]).mean()
    assert_close(cl.ExpectedLoss(loss, 2)(probs, mask), expected)
    assert (loss(probs[0], mask.expand(3, 7, 4)) - expected).abs() > 1e-4


def test_expected_loss_exceeds_the_loss_of_the_mean():
    pred = VALUES[0]
    loss = cl.CrossEntropyLoss()
    assert cl.ExpectedLoss(loss)(pred, INDICES) > loss(pred.mean(0), INDICES)


def test_expected_loss_of_one_sample_is_the_loss():
    loss = cl.CrossEntropyLoss(reduction="none")
    assert_close(
        cl.ExpectedLoss(loss, sample_dims=0)(VALUES[0, 0], INDICES), loss(VALUES[0, 0], INDICES)
    )
    one = cl.ExpectedLoss(loss)(VALUES[0, :1], INDICES)
    assert one.shape == (1, 7)


def test_base_of_the_caller_stays_as_it_is():
    base = nn.MSELoss(reduction="sum")
    cl.ExpectedLoss(base, reduction="none")(VALUES[0], TARGET)
    assert base.reduction == "sum"
    assert cl.ExpectedLoss(base).base is base
