"""Every fact on every card, tested from the card itself."""

import inspect
import math
from collections.abc import Iterator

import pytest
import torch
from losses.case import NO_LOSS
from torch import Generator, Tensor, nn
from torch.testing import assert_close

import course_losses
from course_losses.catalogue import ACTIVATIONS, CATALOGUE, LossCard

SCALES = [1e-3, 1.0, 10.0, 1e3]
ROWS = [(card, i) for card in CATALOGUE.values() for i in range(len(card.examples))]
every_card = pytest.mark.parametrize("card", CATALOGUE.values(), ids=lambda card: card.name)
every_example = pytest.mark.parametrize(
    ("card", "example"), ROWS, ids=[f"{card.name} {i}" for card, i in ROWS]
)


def seeded(seed: int) -> Generator:
    return Generator().manual_seed(seed)


def unreduced(card: LossCard, example: int) -> nn.Module:
    """The loss with one value per example, where it knows how."""
    try:
        return card.make(example, reduction="none")
    except (TypeError, ValueError):
        return card.make(example)


def summed(card: LossCard, example: int) -> nn.Module:
    known = "reduction" in inspect.signature(card.loss).parameters
    return card.make(example, **({"reduction": "sum"} if known else {}))


def draws(card: LossCard, seeds: int) -> Iterator[tuple]:
    for scale in SCALES:
        for seed in range(seeds):
            yield card.inputs(seeded(seed), scale)


def split(card: LossCard, inputs: tuple) -> tuple[list[Tensor], tuple]:
    return list(inputs[: card.predictions]), inputs[card.predictions :]


@every_example
def test_range(card, example):
    """No value is outside, and both ends are approached."""
    loss = unreduced(card, example)
    low, high = (card.evaluate(end, loss) for end in card.range)
    values = torch.cat([card.value(loss, *inputs).detach().flatten() for inputs in draws(card, 12)])
    tolerance = 1e-9 * max(abs(end) for end in (low, high, 1.0) if math.isfinite(end))
    assert low - tolerance <= values.min()
    assert values.max() <= high + tolerance
    width = min(high - low, 1.0) if math.isfinite(low) else math.inf
    assert values.min() < (low + 0.05 * width if math.isfinite(low) else -100)
    assert values.max() > (high - 0.05 * (high - low) if math.isfinite(high) else 100)


@every_example
def test_gradient_bound(card, example):
    """No slope is larger, and the bound is no looser than it must be."""
    loss = unreduced(card, example)
    bound = card.evaluate(card.gradient_bound, loss)
    largest = 0.0
    for inputs in draws(card, 12):
        predictions, rest = split(card, inputs)
        predictions = [p.detach().requires_grad_() for p in predictions]
        values = card.value(loss, *predictions, *rest).flatten()
        for value in values[torch.randperm(len(values), generator=seeded(0))[:3]]:
            gradients = torch.autograd.grad(
                value, predictions, retain_graph=True, allow_unused=True
            )
            slopes = [g.abs().max().item() for g in gradients if g is not None]
            largest = max([largest, *slopes])
    if math.isfinite(bound):
        assert bound / 3 <= largest <= bound * (1 + 1e-6)
    else:
        assert largest > 100


@every_example
def test_convexity(card, example):
    """The value halfway between two predictions is at most the mean of theirs, or somewhere not."""
    loss = unreduced(card, example)
    excess = -math.inf
    for scale in (0.1, 1.0, 3.0, 10.0):
        for seed in range(20):
            a, rest = split(card, card.inputs(seeded(seed), scale))
            b, _ = split(card, card.inputs(seeded(1000 + seed), scale))
            halfway = [(x + y) / 2 for x, y in zip(a, b, strict=True)]
            mean = (card.value(loss, *a, *rest) + card.value(loss, *b, *rest)) / 2
            gap = (card.value(loss, *halfway, *rest) - mean) / mean.abs().clamp(min=1.0)
            excess = max(excess, gap.max().item())
    assert (excess < 1e-9) == card.convex, excess


@every_example
def test_minimiser(card, example):
    """Nothing costs less than what the card calls best, near by or far off, and most costs more."""
    loss = summed(card, example)
    for seed in range(2):
        risk, best, others, allowed = card.problem(loss, seeded(seed))
        least = risk(best).item()
        assert math.isfinite(least)
        costs = [risk(other).item() for other in others.to(best.dtype)]
        for size in (1e-3, 1e-1):
            for step in range(10):
                noise = torch.randn(best.shape, generator=seeded(step), dtype=best.dtype)
                try:
                    costs.append(risk(allowed(best + size * noise)).item())
                except ValueError:  # outside the domain
                    continue
        assert min(costs) >= least - 1e-9 * max(1.0, abs(least))
        worse = [cost > least + 1e-9 for cost in costs]
        assert sum(worse) > 0.5 * len(worse)


@every_example
def test_equivalent_in_torch(card, example):
    """The expression on the card gives the same values and gradients."""
    if card.torch is None:
        return
    loss = card.make(example)
    for seed in range(2):
        inputs = card.inputs(seeded(seed), 2.0)
        predictions, rest = split(card, inputs)
        mine = [p.detach().requires_grad_() for p in predictions]
        theirs = [p.detach().requires_grad_() for p in predictions]
        value = card.value(loss, *mine, *rest)
        other = card.evaluate(card.torch, loss, *theirs, *rest)
        assert_close(value, other, rtol=1e-9, atol=1e-12)
        assert_close(
            torch.autograd.grad(value, mine),
            torch.autograd.grad(other, theirs),
            rtol=1e-7,
            atol=1e-10,
        )


@every_card
def test_activation_leads_into_the_domain(card):
    """What the last layer gives is accepted; raw numbers are not, where the card asks for more."""
    loss = card.make()
    names = card.activation.split(", ")
    inputs = card.inputs(seeded(0), 1.0)
    predictions, rest = split(card, inputs)
    raw = [
        torch.randn(p.shape, generator=seeded(i), dtype=p.dtype) for i, p in enumerate(predictions)
    ]
    layers = names * len(raw) if len(names) == 1 else names
    shaped = [ACTIVATIONS[name](z) for name, z in zip(layers, raw, strict=True)]
    assert card.value(loss, *shaped, *rest).isfinite()
    if set(names) != {"none"}:
        with pytest.raises(ValueError, match="must be"):
            card.value(card.make(), *raw, *rest)


@every_card
def test_the_known_failure_happens_as_told(card):
    assert card.failure()
    assert len(card.known_failure) > 20


@every_card
def test_words_of_a_card_are_there(card):
    for heading, text in card.rows().items():
        assert text.strip(), heading
        assert heading in str(card)
    assert card.known_failure.endswith(".")
    assert "|---|" in card._repr_markdown_()


def test_every_exported_loss_has_a_card():
    exported = {
        thing.__name__
        for thing in vars(course_losses).values()
        if inspect.isclass(thing) and issubclass(thing, nn.Module)
    }
    missing = exported - NO_LOSS - set(CATALOGUE)
    assert missing == set(), "give it a card in course_losses/catalogue/"
    assert set(CATALOGUE) <= exported
    assert all(getattr(course_losses, name) is card.loss for name, card in CATALOGUE.items())
