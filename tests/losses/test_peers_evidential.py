"""Evidential losses beside edl-pytorch, which takes alpha and one-hot targets."""

import torch
import torch.nn.functional as F
from edl_pytorch.loss import dirichlet_mse, dirichlet_reg, nig_nll, nig_reg
from torch.testing import assert_close

import course_losses as cl


def test_classification():
    generator = torch.Generator().manual_seed(0)
    evidence = 10 * torch.rand(9, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 5, (9,), generator=generator)
    onehot = F.one_hot(target, 5)
    assert_close(cl.EvidentialMSELoss()(evidence, target), dirichlet_mse(evidence + 1, onehot))
    assert_close(cl.EvidentialKLDivergence()(evidence, target), dirichlet_reg(evidence + 1, onehot))


def test_regression():
    generator = torch.Generator().manual_seed(0)
    gamma, target = torch.randn(2, 9, generator=generator, dtype=torch.float64)
    nu, alpha, beta = torch.rand(3, 9, generator=generator, dtype=torch.float64) + 0.3
    params = {"gamma": gamma, "nu": nu, "alpha": alpha, "beta": beta}
    parts = gamma, nu, alpha, beta, target
    assert_close(cl.EvidentialNIGNLLLoss()(params, target), nig_nll(*parts))
    assert_close(cl.EvidentialRegressionRegularization()(params, target), nig_reg(*parts))
