"""The rubric of the hunt for the free energy: the data N / B times, the KL once."""

import torch
from torch import Tensor

from course_losses.grading import Case, criterion, gradient, mistake

NEEDS = ["free_energy"]


def batch(random: torch.Generator) -> Case:
    """Some of a larger data set; the KL is as large as an example."""
    size = int(torch.randint(3, 8, (), generator=random))
    nll = 0.5 + 2 * torch.rand(size, generator=random)
    mean = torch.randn(5, generator=random)
    std = 0.1 + torch.rand(5, generator=random)
    num_data = int(torch.randint(40, 90, (), generator=random))
    leaves = [leaf.requires_grad_() for leaf in (nll, mean, std)]
    return Case(nll=leaves[0], mean=leaves[1], std=leaves[2], num_data=num_data)


def everything(random: torch.Generator) -> Case:
    case = batch(random)
    case.num_data = len(case.nll)
    return case


def halves(random: torch.Generator) -> Case:
    case = batch(random)
    case.nll = 0.5 + 2 * torch.rand(8, generator=random)
    return case


def asked(student, case, nll=None):
    nll = case.nll if nll is None else nll
    return student.free_energy(nll, case.mean, case.std, case.num_data)


@criterion("The batch is all the data: the KL counts once", points=1, cases=everything)
def test_everything(student, case):
    return asked(student, case)


@criterion("A batch of a larger data set: the KL counts once, too", points=1, cases=batch)
def test_batch(student, case):
    value = asked(student, case)
    if isinstance(value, Tensor):
        assert value.numel() == 1, f"The shape is {tuple(value.shape)}; one number is asked for."
    return value


@criterion(
    "The mean over two half batches is the value of the whole",
    points=1,
    cases=halves,
    after="test_batch",
)
def test_halves(student, case):
    first, second = asked(student, case, case.nll[:4]), asked(student, case, case.nll[4:])
    whole = asked(student, case)
    return whole, (first + second) / 2


@criterion(
    "The gradients by likelihoods, means and standard deviations are right",
    points=2,
    cases=batch,
    after="test_batch",
)
def test_gradients(student, case):
    value, slopes, _ = gradient(student.free_energy, case.nll, case.mean, case.std, case.num_data)
    if isinstance(value, Tensor):
        assert None not in slopes, "A gradient is missing: something was detached."
    return value, slopes


def parts(nll: Tensor, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
    """The batch's mean and the KL divergence, as the learner has them already."""
    return nll.mean(), ((std**2 + mean**2 - 1) / 2 - std.log()).sum()


@mistake(
    "free_energy",
    "The KL counts N times: nll + kl adds it to every example, and the scaled sum collects all of "
    "them. Scale the data alone, then add the KL once.",
)
def every_example(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return num_data * (data + kl)


@mistake(
    "free_energy",
    "This is the mean over the examples plus the whole KL: beside a mean that counts the KL N "
    "times. And the whole data set's value is asked for.",
)
def beside_a_mean(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return data + kl


@mistake(
    "free_energy",
    "This is the value per example. That has the right minimum; asked for is the whole data set's, "
    "N times as large.",
)
def per_example(right, nll, mean, std, num_data):
    return right(nll, mean, std, num_data) / num_data


@mistake("free_energy", "The KL counts N/B times: it is scaled with the data. Add it afterwards.")
def scaled(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return num_data * data + num_data / len(nll) * kl


@mistake("free_energy", "The KL counts B times, once for each example of the batch. Once in all.")
def for_the_batch(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return num_data * data + len(nll) * kl


@mistake(
    "free_energy",
    "The KL is divided by N beside a sum over all data: the prior hardly counts. Beside the sum it "
    "stands once.",
)
def divided(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return num_data * data + kl / num_data


@mistake("free_energy", "The KL counts B/N times: that belongs beside the batch's sum.")
def batch_share(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return num_data * data + kl * len(nll) / num_data


@mistake("free_energy", "The batch's sum is not scaled: it stands for all N examples.")
def unscaled(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return data * len(nll) + kl


@mistake("free_energy", "The KL is missing: this is maximum likelihood.")
def no_prior(right, nll, mean, std, num_data):
    return num_data * nll.mean()


@mistake("free_energy", "The KL is subtracted. A posterior far from the prior costs something.")
def subtracted(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return num_data * data - kl


@mistake("free_energy", "The KL is averaged over the weights. It is their sum.")
def averaged(right, nll, mean, std, num_data):
    data, kl = parts(nll, mean, std)
    return num_data * data + kl / len(mean)


@mistake("free_energy", "The sign is wrong: this is the ELBO, which is maximised.")
def elbo(right, nll, mean, std, num_data):
    return -right(nll, mean, std, num_data)
