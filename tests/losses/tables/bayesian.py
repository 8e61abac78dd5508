"""Bayesian: losses with a KL term or with sample dimensions, and what layers refuse."""

from functools import partial

import torch
from losses.case import Case, Refused
from torch import nn

import course_losses as cl

torch.manual_seed(0)
model = nn.Sequential(cl.BayesianLinear(3, 5), nn.ReLU(), cl.BayesianLinear(5, 4)).double()


def logits_classes_kl(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = torch.randn(7, 4, generator=generator, dtype=torch.float64)
    kl = 30 * torch.rand(1, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 4, (7,), generator=generator), kl


def sampled_logits(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    logits = torch.randn(3, 7, 4, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, 4, (7,), generator=generator)


def twice_sampled_values(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    pred = torch.randn(2, 3, 7, 2, generator=generator, dtype=torch.float64)
    return pred, torch.randn(7, 2, generator=generator, dtype=torch.float64)


elbo = partial(cl.ELBOLoss, kl_penalty=0.01)
expected_ce = partial(cl.ExpectedLoss, cl.CrossEntropyLoss())
expected_mse = partial(cl.ExpectedLoss, nn.MSELoss(), sample_dims=2)
free_energy = partial(cl.VariationalFreeEnergy, nn.CrossEntropyLoss(), model, num_data=100)

# pred has samples in dimension 0 and examples after them, so reordering both is no permutation
sampled = partial(Case, permutable=False)

CASES = [
    Case("elbo", elbo, logits_classes_kl, (7,)),
    sampled("expected cross-entropy", expected_ce, sampled_logits, (3, 7)),
    sampled("expected mse", expected_mse, twice_sampled_values, (2, 3, 7, 2)),
    sampled("free energy", free_energy, sampled_logits, None),
    sampled("free energy sum", partial(free_energy, reduction="sum"), sampled_logits, None),
]

logits, classes, kl = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), torch.zeros(())
column = torch.zeros(5, 4, 1)

REFUSED = [
    Refused("elbo without a weight", lambda: cl.ELBOLoss(), TypeError, "kl_penalty"),
    Refused(
        "elbo weight -1", lambda: cl.ELBOLoss(-1), ValueError, r"kl_penalty must be in \[0, inf"
    ),
    Refused(
        "elbo: kl per example",
        lambda: elbo()(logits, classes, torch.zeros(4)),
        ValueError,
        r"kl must be one number, got shape \(4,\): pass collect_kl_divergence",
    ),
    Refused(
        "elbo: kl as number", lambda: elbo()(logits, classes, 1.0), TypeError, "kl must be a torch"
    ),
    Refused(
        "elbo: target (4, 1)",
        lambda: elbo()(logits, classes[:, None], kl),
        ValueError,
        r"target must have shape \(4,\) beside logits of shape \(4, 3\), got \(4, 1\)",
    ),
    Refused(
        "expected: function",
        lambda: cl.ExpectedLoss(torch.nn.functional.mse_loss),
        TypeError,
        "base must be a loss module with a reduction, got <function mse_loss",
    ),
    Refused(
        "expected: batchmean",
        lambda: cl.ExpectedLoss(nn.KLDivLoss(reduction="batchmean")),
        ValueError,
        "reduction must be one of 'mean', 'sum', 'none', got 'batchmean'",
    ),
    Refused(
        "expected: no sample dimension",
        lambda: expected_ce()(logits, classes),
        ValueError,
        r"pred must have 1 sample dimensions .*, got pred \(4, 3\), target \(4,\)",
    ),
    Refused(
        "expected: (S, N, 1) against (N,)",
        lambda: cl.ExpectedLoss(nn.MSELoss())(column, torch.zeros(4)),
        ValueError,
        r"got pred \(5, 4, 1\), target \(4,\)",
    ),
    Refused(
        "expected: (S, N) against (N, 1)",
        lambda: cl.ExpectedLoss(nn.MSELoss())(column[..., 0], torch.zeros(4, 1)),
        ValueError,
        r"got pred \(5, 4\), target \(4, 1\)",
    ),
    Refused(
        "expected: sample_dims -1",
        lambda: cl.ExpectedLoss(nn.MSELoss(), sample_dims=-1),
        ValueError,
        "sample_dims must be at least 0",
    ),
    Refused(
        "free energy without num_data",
        lambda: cl.VariationalFreeEnergy(nn.MSELoss(), model),
        TypeError,
        "num_data",
    ),
    Refused(
        "free energy of no data", lambda: free_energy(num_data=0), ValueError, "num_data must be at"
    ),
    Refused(
        "free energy of half an example",
        lambda: free_energy(num_data=0.5),
        TypeError,
        "num_data must be an integer, got 0.5",
    ),
    Refused(
        "free energy: none",
        lambda: free_energy(reduction="none"),
        ValueError,
        "reduction must be one of 'mean', 'sum', got 'none'",
    ),
    Refused(
        "prior_scale 0", lambda: free_energy(prior_scale=0), ValueError, r"prior_scale .* got 0"
    ),
    Refused("prior_loc nan", lambda: free_energy(prior_loc=float("nan")), ValueError, "prior_loc"),
    Refused("kl_weight -1", lambda: free_energy(kl_weight=-1), ValueError, "kl_weight must be in"),
    Refused(
        "free energy: target (4, 1)",
        lambda: free_energy()(torch.zeros(5, 4, 3), classes[:, None]),
        ValueError,
        r"got pred \(5, 4, 3\), target \(4, 1\)",
    ),
    Refused(
        "free energy: target of more dimensions",
        lambda: free_energy()(logits, torch.zeros(2, 4, 3)),
        ValueError,
        r"pred must have 0 sample dimensions .*, got pred \(4, 3\), target \(2, 4, 3\)",
    ),
    Refused(
        "free energy: (N, 1) against (N,)",
        lambda: cl.VariationalFreeEnergy(nn.MSELoss(), model, 9)(torch.zeros(4, 1), torch.zeros(4)),
        ValueError,
        r"got pred \(4, 1\), target \(4,\)",
    ),
    Refused(
        "no bayesian layer",
        lambda: cl.collect_kl_divergence(nn.Sequential(nn.Linear(2, 2))),
        ValueError,
        r"module must hold a Bayesian layer, got Sequential without one: .* bayesian\(module\)",
    ),
    Refused(
        "no features", lambda: cl.BayesianLinear(0, 2), ValueError, "in_features must be at least"
    ),
    Refused(
        "no outputs", lambda: cl.BayesianLinear(2, 0), ValueError, "out_features must be at least"
    ),
    Refused(
        "linear prior 0",
        lambda: cl.BayesianLinear(2, 2, prior_std=0),
        ValueError,
        r"prior_std must be in \(0, inf\), got 0",
    ),
    Refused(
        "convolution posterior -1",
        lambda: cl.BayesianConv2d(2, 2, 3, posterior_std=-1),
        ValueError,
        r"posterior_std must be in \(0, inf\), got -1",
    ),
    Refused(
        "conversion with prior inf",
        lambda: cl.bayesian(nn.Linear(2, 2), prior_std=float("inf")),
        ValueError,
        "prior_std must be in",
    ),
]
