"""The cards of what is built from other parts: generative, perceptual, several tasks, curricula."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Generator, Tensor, nn

from course_losses import curriculum, generative, multitask, perceptual
from course_losses.catalogue.card import LossCard, Problem, skewed, slope


def normal(generator: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def fake_logits(generator: Generator, scale: float) -> tuple[Tensor]:
    return (scale * normal(generator, 1),)


def as_generator(loss: Any, fake_logits: Tensor) -> Any:
    return loss.generator(fake_logits)


def codes(generator: Generator, scale: float) -> tuple[Tensor, ...]:
    x = torch.randint(2, (6, 5), generator=generator).double()
    decoded = 30 * (2 * x - 1) + scale * normal(generator, 6, 5)
    return decoded, scale * normal(generator, 6, 2), min(scale, 5) * normal(generator, 6, 2), x


def encoded(loss: Any, decoded: Tensor, mean: Tensor, log_variance: Tensor, x: Tensor) -> Any:
    return loss(decoded, x, mean, log_variance)


def pictures(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    """Of one pixel, so that the network's kinks show."""
    target = torch.rand(2, 1, 1, 1, generator=generator, dtype=torch.float64) + 0.1
    return target + scale * normal(generator, 2, 1, 1, 1), target


def looked_at() -> dict[str, Any]:
    """A feature network that sees brightness, and nothing darker than black."""
    sees = nn.Conv2d(1, 1, kernel_size=1, bias=False)
    nn.init.ones_(sees.weight)
    return {
        "features": nn.Sequential(OrderedDict(conv1=sees, relu1=nn.ReLU())),
        "layers": ("relu1",),
    }


def task_losses(generator: Generator, scale: float) -> tuple[Tensor]:
    return (scale * torch.rand(3, generator=generator, dtype=torch.float64),)


def with_log_vars(generator: Generator, scale: float) -> tuple[Tensor, Tensor]:
    solved = torch.randint(2, (), generator=generator).item()
    (values,) = task_losses(generator, 10 ** -(solved * min(scale, 300.0)))
    return min(scale, 200.0) * normal(generator, 3), values


def weighting(loss: nn.Module, log_vars: Tensor, losses: Tensor) -> Any:
    return torch.func.functional_call(loss, {"log_vars": log_vars}, (losses,))


def of_some_difficulty(generator: Generator, scale: float) -> tuple[Tensor, ...]:
    target = normal(generator, 12)
    difficulty = torch.rand(12, generator=generator, dtype=torch.float64)
    return target + scale * normal(generator, 12), target, difficulty


# ---------------------------------------------------------------- what is best


def highest_score(loss: Any, generator: Generator) -> Problem:
    others = 3 * torch.randn(90, 1, generator=generator)
    return Problem(loss.generator, torch.full((1,), 40.0).double(), others)


def pixels_and_the_prior(loss: Any, generator: Generator) -> Problem:
    """For grey pixels: their log-odds, and a code that is the prior."""
    x = 0.1 + 0.8 * torch.rand(1, 4, generator=generator, dtype=torch.float64)

    def risk(free: Tensor) -> Any:
        return loss(free[:, :4], x, free[:, 4:6], free[:, 6:])

    best = torch.cat([x.logit(), torch.zeros(1, 4).double()], 1)
    return Problem(risk, best, torch.randn(60, 1, 8, generator=generator))


def the_target_itself(loss: Any, generator: Generator) -> Problem:
    _, target = pictures(generator, 1.0)
    others = torch.randn(60, 2, 1, 1, 1, generator=generator)
    return Problem(lambda pred: loss(pred, target), target, others)


def no_loss_at_all(loss: Any, generator: Generator) -> Problem:
    loss.eval()  # GradNorm takes no yardstick
    others = torch.rand(60, 3, generator=generator)
    return Problem(loss, torch.zeros(3).double(), others, lambda values: values.clamp(min=0))


def logarithms_of_the_losses(loss: Any, generator: Generator) -> Problem:
    values = 0.1 + 3 * torch.rand(3, generator=generator, dtype=torch.float64)
    best = (loss.scale * values / loss.penalty).log()
    others = 2 * torch.randn(60, 3, generator=generator)
    return Problem(lambda s: weighting(loss, s, values), best, others)


def mean_of_the_admitted(loss: Any, generator: Generator) -> Problem:
    y = skewed(generator, 11)
    difficulty = torch.linspace(0, 1, 11, dtype=torch.float64)
    best = y[difficulty <= loss.start].mean()
    return Problem(lambda c: loss(c.expand_as(y), y, difficulty), best, torch.linspace(-1, 6, 57))


# ---------------------------------------------------------------- known failures


def minimax_saturates() -> bool:
    """Where the discriminator is sure (a logit of -5), minimax has 1/148 of this gradient."""
    fake = torch.tensor([-5.0], dtype=torch.float64)
    gradients = []
    for mode in ("non_saturating", "minimax"):
        pred = fake.clone().requires_grad_()
        value = generative.GANLoss(mode).generator(pred)
        gradients.append(torch.autograd.grad(value, pred)[0].item())
    return abs(gradients[0] / gradients[1] - 148.4) < 0.1


def mean_over_pixels() -> bool:
    """A mean over 784 pixels beside a summed KL is this loss with beta=784: the code collapses."""
    x, decoded = torch.ones(1, 784).double(), torch.zeros(1, 784).double()
    mean, log_variance = torch.ones(1, 2).double(), torch.zeros(1, 2).double()
    parts = generative.VAELoss().terms(decoded, x, mean, log_variance)
    wrong = parts[0] / 784 + parts[1]
    return bool(
        torch.isclose(784 * wrong, generative.VAELoss(784.0)(decoded, x, mean, log_variance))
    )


def unit_of_the_network() -> bool:
    """Doubling the network's first layer, which changes nothing it knows, multiplies it by 4."""
    features = perceptual.patch_features()
    x, y = torch.rand(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    before = perceptual.PerceptualLoss(features, ("relu1",)).double()(x, y)
    with torch.no_grad():
        for parameter in list(features.parameters())[:2]:
            parameter.mul_(2)
    after = perceptual.PerceptualLoss(features, ("relu1",)).double()(x, y)
    return bool(torch.isclose(after, 4 * before))


def blind_to_place() -> bool:
    """Swapping a picture's halves costs less than 1/10 of what halving its contrast does."""
    x = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    loss = perceptual.StyleLoss(perceptual.patch_features(), ("relu1", "relu2"))
    return bool(loss(x.roll(16, -1), x) < loss(0.25 + 0.5 * x, x) / 10)


def loudest_task_wins() -> bool:
    """With equal weights, a task with loss 0.01 beside one with 100 is 1/10 000 of the sum."""
    values = torch.tensor([0.01, 100.0]).double()
    share = values[0] / multitask.WeightedSum([1.0, 1.0])(values)
    return bool((share - 1e-4).abs() < 1e-6)


def smallest_loss_gets_the_largest_weight() -> bool:
    """It weighs by 1 / loss: a task that is all but solved, at 0.001, gets a weight of 1000."""
    values = torch.tensor([0.001, 1.0], dtype=torch.float64)
    loss = multitask.UncertaintyWeighting(2).double()
    gradient = slope_in_log_vars(loss, values.log(), values)
    weight = torch.exp(-values.log())[0]
    return bool(gradient.abs().max() < 1e-9 and (weight - 1000).abs() < 1e-6)


def slope_in_log_vars(loss: nn.Module, log_vars: Tensor, values: Tensor) -> Tensor:
    log_vars = log_vars.requires_grad_()
    (gradient,) = torch.autograd.grad(weighting(loss, log_vars, values), log_vars)
    return gradient


def first_loss_is_the_yardstick() -> bool:
    """A task whose first loss was small by chance seems to lag for ever and takes the weight."""
    shared = nn.Parameter(torch.ones(1))
    balancer = multitask.GradNorm(2, lr=0.1)
    balancer([0.01 * shared.sum(), shared.sum()])
    for _ in range(20):
        balancer.update([shared.sum(), shared.sum()], shared)
    return bool(balancer.weights[0] > 1.5)


def nothing_easy_no_step() -> bool:
    """An epoch whose examples are all above the threshold has loss 0 and moves nothing."""
    pred, target, hard = torch.zeros(3), torch.ones(3), torch.full((3,), 0.9)
    loss = curriculum.CurriculumLoss(nn.MSELoss(), total_epochs=5)
    return bool(loss(pred, target, hard) == 0) and not slope(loss, pred, target, hard).any()


CARDS = [
    LossCard(
        loss=generative.GANLoss,
        formula=r"-\log \sigma(f) \quad \text{(generator, non-saturating)}",
        domain="any real numbers (the discriminator's logits)",
        range=("0", "inf"),
        minimiser="the highest score that the discriminator gives",
        convex=True,
        gradient_bound="1",
        activation="none",
        torch="F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))",
        use="samples that should look real, when no target picture exists",
        avoid="reading progress off its value: it moves with the discriminator",
        failure=minimax_saturates,
        inputs=fake_logits,
        problem=highest_score,
        call=as_generator,
    ),
    LossCard(
        loss=generative.VAELoss,
        formula=r"-\log p(x \mid z) + \beta \, \mathrm{KL}(N(\mu, \sigma^2) \,\|\, N(0, 1))",
        domain="any real numbers: logits of pixels, means and log-variances of codes",
        range=("0", "inf"),
        minimiser="the pixels' log-odds, and a code that is the prior",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="codes that can be sampled, with a bound on the likelihood",
        avoid="sharp pictures, and means over pixels beside sums over codes",
        failure=mean_over_pixels,
        inputs=codes,
        problem=pixels_and_the_prior,
        predictions=3,
        examples=({}, {"beta": 4.0}),
        call=encoded,
    ),
    LossCard(
        loss=perceptual.PerceptualLoss,
        formula=r"\sum_l w_l \operatorname{mean}(\phi_l(\hat y) - \phi_l(y))^2",
        domain="pictures as the feature network expects them",
        range=("0", "inf"),
        minimiser="the target, and whatever has the same features",
        convex=False,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="pictures that should look right, when pixels may differ",
        avoid="pictures unlike those that the network was trained on",
        failure=unit_of_the_network,
        inputs=pictures,
        problem=the_target_itself,
        examples=(looked_at,),
    ),
    LossCard(
        loss=perceptual.StyleLoss,
        formula=r"\sum_l w_l \operatorname{mean}(G(\phi_l(\hat y)) - G(\phi_l(y)))^2",
        domain="pictures as the feature network expects them",
        range=("0", "inf"),
        minimiser="the target, and whatever has the same texture",
        convex=False,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="textures and styles, beside a loss for the content",
        avoid="content: it does not see where things are",
        failure=blind_to_place,
        inputs=pictures,
        problem=the_target_itself,
        examples=(looked_at,),
    ),
    LossCard(
        loss=multitask.WeightedSum,
        formula=r"\sum_i w_i L_i",
        domain="the tasks' losses, at least 0",
        range=("0", "inf"),
        minimiser="no loss in any task",
        convex=True,
        gradient_bound="2",
        activation="none",
        torch="losses @ torch.tensor([1.0, 2.0, 0.5], dtype=losses.dtype)",
        use="when you know what each task is worth; the baseline for the others",
        avoid="weights that balance values instead of gradients",
        failure=loudest_task_wins,
        inputs=task_losses,
        problem=no_loss_at_all,
        examples=({"weights": [1.0, 2.0, 0.5]},),
    ),
    LossCard(
        loss=multitask.UncertaintyWeighting,
        formula=r"\sum_i a_i e^{-s_i} L_i + b_i s_i",
        domain="log_vars: any real numbers; losses: positive",
        range=("-inf", "inf"),
        minimiser="log_vars at the logarithms of the losses (plus log 2 for classification)",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="tasks in different units, without weights to tune",
        avoid="losses that may reach 0: their weight has no bound",
        failure=smallest_loss_gets_the_largest_weight,
        inputs=with_log_vars,
        problem=logarithms_of_the_losses,
        examples=(
            {"num_tasks": 3},
            {"num_tasks": 3, "kinds": ["regression", "classification", "regression"]},
        ),
        call=weighting,
    ),
    LossCard(
        loss=multitask.GradNorm,
        formula=r"\sum_i w_i L_i, \quad w \text{ from } \sum_i |G_i - \bar G r_i^\alpha|",
        domain="the tasks' losses, positive at first",
        range=("0", "inf"),
        minimiser="no loss in any task",
        convex=True,
        gradient_bound="1",
        activation="softplus",
        torch=None,
        use="tasks that share a layer and learn at different speeds",
        avoid="first losses that are chance, and models without a shared layer",
        failure=first_loss_is_the_yardstick,
        inputs=task_losses,
        problem=no_loss_at_all,
        examples=({"num_tasks": 3},),
    ),
    LossCard(
        loss=curriculum.CurriculumLoss,
        formula=r"\tfrac1{|A|} \sum_{n \in A} \text{base}_n, \quad A \text{ easy enough}",
        domain="that of its base",
        range=("0", "inf"),
        minimiser="what is best for the base on the admitted examples: here their mean",
        convex=True,
        gradient_bound="inf",
        activation="none",
        torch=None,
        use="a warm start on easy examples, when a measure of difficulty exists",
        avoid="difficulties that say who is rare: those examples come last",
        failure=nothing_easy_no_step,
        inputs=of_some_difficulty,
        problem=mean_of_the_admitted,
        examples=({"base": nn.MSELoss(), "total_epochs": 5, "start": 0.5},),
    ),
]
