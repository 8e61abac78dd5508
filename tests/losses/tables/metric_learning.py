"""Metric learning: pairs, triplets, a labelled batch, and two views of a batch."""

from functools import partial

import torch
from losses.case import Case, Refused

import course_losses as cl


def pairs(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    a, b = torch.randn(2, 7, 3, generator=generator, dtype=torch.float64)
    return a, a + 0.5 * b, torch.tensor([1, 0, 0, 1, 0, 1, 0])


def triplets(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(3, 7, 3, generator=generator, dtype=torch.float64))


def labelled(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    x = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    return x, torch.tensor([0, 5, 0, 5, 5, 7, 0, 5, -1])


def views(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    a, b = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    return a, a + 0.5 * b


ONLINE = {
    f"online triplet {mining}{' squared' * squared}": partial(
        cl.OnlineTripletLoss, mining=mining, squared=squared
    )
    for mining in ("hard", "all", "semi-hard")
    for squared in (False, True)
}

CASES = [
    Case("contrastive", cl.ContrastiveLoss, pairs, (7,)),
    Case("contrastive wide", partial(cl.ContrastiveLoss, margin=2.5), pairs, (7,)),
    Case("triplet", cl.TripletLoss, triplets, (7,)),
    Case("triplet squared", partial(cl.TripletLoss, squared=True), triplets, (7,)),
    *(
        # torch.pdist has no second derivative; "hard" needs none of it
        Case(name, loss, labelled, (9,), mean_of_values=False, twice="hard" in name.split())
        for name, loss in ONLINE.items()
    ),
    Case("nt-xent", cl.NTXentLoss, views, (10,)),
    Case("infonce", cl.InfoNCELoss, views, (5,)),
    Case("infonce one way", partial(cl.InfoNCELoss, symmetric=False), views, (5,)),
]

x, y, other = torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64), torch.zeros(4, 2)
positive = r"must be in \(0, inf\), got"

PAIRED = {
    "contrastive": (lambda a, b: cl.ContrastiveLoss()(a, b, y), "embeddings_a", "embeddings_b"),
    "triplet": (lambda a, b: cl.TripletLoss()(a, b, b), "anchor", "positive"),
    "nt-xent": (lambda a, b: cl.NTXentLoss()(a, b), "z_a", "z_b"),
    "infonce": (lambda a, b: cl.InfoNCELoss()(a, b), "z_a", "z_b"),
}

REFUSED = [
    *(
        row
        for name, (loss, first, second) in PAIRED.items()
        for row in [
            Refused(
                f"{name}: (4, 3) against (4, 2)",
                lambda loss=loss: loss(x, other),
                ValueError,
                rf"must have the same shape, got {first} \(4, 3\), {second} \(4, 2\)",
            ),
            Refused(
                f"{name}: no rows",
                lambda loss=loss: loss(x[:, 0], x[:, 0]),
                ValueError,
                rf"{first} must have 2 dimensions, got shape \(4,\)",
            ),
            Refused(
                f"{name}: embeddings without entries",
                lambda loss=loss: loss(x[:, :0], x[:, :0]),
                ValueError,
                rf"{first} is empty, got shape \(4, 0\)",
            ),
            Refused(
                f"{name}: integers",
                lambda loss=loss: loss(x, x.long()),
                TypeError,
                f"{second} must be floating point, got torch.int64",
            ),
        ]
    ),
    *(
        Refused(
            f"{loss.__name__}: margin {margin}",
            lambda loss=loss, margin=margin: loss(margin=margin),
            ValueError,
            f"margin {positive} {margin}",
        )
        for loss in (cl.ContrastiveLoss, cl.TripletLoss, cl.OnlineTripletLoss)
        for margin in (0, -1)
    ),
    *(
        Refused(
            f"{loss.__name__}: temperature {temperature}",
            lambda loss=loss, temperature=temperature: loss(temperature=temperature),
            ValueError,
            f"temperature {positive} {temperature}",
        )
        for loss in (cl.NTXentLoss, cl.InfoNCELoss)
        for temperature in (0, -0.5)
    ),
    Refused(
        "contrastive: same 2",
        lambda: cl.ContrastiveLoss()(x, x, y + 2),
        ValueError,
        "same must be 0 or 1, got 2",
    ),
    Refused(
        "contrastive: same between 0 and 1",
        lambda: cl.ContrastiveLoss()(x, x, y + 0.25),
        ValueError,
        "same must be 0 or 1, got 0.25",
    ),
    Refused(
        "contrastive: same as a column",
        lambda: cl.ContrastiveLoss()(x, x, y[:, None]),
        ValueError,
        r"same must have shape \(4,\), one value per embedding, got \(4, 1\)",
    ),
    Refused(
        "contrastive: same as a list",
        lambda: cl.ContrastiveLoss()(x, x, [0, 1, 0, 1]),
        TypeError,
        "same must be a torch.Tensor, got list",
    ),
    Refused(
        "triplet: one anchor for all",
        lambda: cl.TripletLoss()(x[:1], x, x),
        ValueError,
        r"must have the same shape, got anchor \(1, 3\)",
    ),
    Refused(
        "triplet: one negative for all",
        lambda: cl.TripletLoss()(x, x, x[:1]),
        ValueError,
        r"must have the same shape, .* negative \(1, 3\)",
    ),
    Refused(
        "online triplet: mining",
        lambda: cl.OnlineTripletLoss(mining="easy"),
        ValueError,
        "mining must be one of 'hard', 'all', 'semi-hard', got 'easy'",
    ),
    Refused(
        "online triplet: float labels",
        lambda: cl.OnlineTripletLoss()(x, x[:, 0]),
        TypeError,
        "labels must be an integer torch.Tensor, got torch.float32",
    ),
    Refused(
        "online triplet: list of labels",
        lambda: cl.OnlineTripletLoss()(x, [0, 1, 0, 1]),
        TypeError,
        "labels must be an integer torch.Tensor, got list",
    ),
    Refused(
        "online triplet: labels as a column",
        lambda: cl.OnlineTripletLoss()(x, y[:, None]),
        ValueError,
        r"labels must have shape \(4,\), one value per embedding, got \(4, 1\)",
    ),
    Refused(
        "online triplet: three labels for four",
        lambda: cl.OnlineTripletLoss()(x, y[:3]),
        ValueError,
        r"labels must have shape \(4,\), one value per embedding, got \(3,\)",
    ),
    Refused(
        "online triplet: one embedding without rows",
        lambda: cl.OnlineTripletLoss()(x[0], y[:3]),
        ValueError,
        r"embeddings must have 2 dimensions, got shape \(3,\)",
    ),
]
