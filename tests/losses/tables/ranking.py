"""Ranking: pairs of scores, and lists of scores with their relevance."""

import math
from functools import partial

import torch
from losses.case import Case, Refused

import course_losses as cl


def pairs(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(2, 7, 2, generator=generator, dtype=torch.float64))


def lists(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    return tuple(torch.randn(2, 5, 4, generator=generator, dtype=torch.float64))


def graded_lists(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    scores, _ = lists(generator)
    return scores, torch.randint(0, 5, (5, 4), generator=generator)


CASES = [
    Case("pairwise ranking", cl.PairwiseRankingLoss, pairs, (7, 2)),
    Case("pairwise ranking 0.3", partial(cl.PairwiseRankingLoss, margin=0.3), pairs, (7, 2)),
    Case("listnet", cl.ListNetLoss, lists, (5,)),
    Case("listnet of grades", cl.ListNetLoss, graded_lists, (5,)),
]

four, column, grid = torch.zeros(4), torch.zeros(4, 1), torch.zeros(4, 3)

OF_LISTS = {
    "listnet": lambda s, r: cl.ListNetLoss()(s, r),
    "reciprocal rank": cl.reciprocal_rank,
    "ndcg": cl.ndcg,
}

REFUSED = [
    Refused(
        "pairwise ranking: (4,) against (4, 1)",
        lambda: cl.PairwiseRankingLoss()(four, column),
        ValueError,
        r"same shape, got positive_scores \(4,\), negative_scores \(4, 1\)",
    ),
    Refused(
        "pairwise ranking: integers",
        lambda: cl.PairwiseRankingLoss()(four, four.long()),
        TypeError,
        "negative_scores must be floating point, got torch.int64",
    ),
    Refused(
        "pairwise ranking: margin",
        lambda: cl.PairwiseRankingLoss(margin=-0.1),
        ValueError,
        r"margin must be in \[0, inf\), got -0.1",
    ),
    *(
        row
        for name, call in OF_LISTS.items()
        for row in [
            Refused(
                f"{name}: (4, 3) against (4, 1)",
                lambda call=call: call(grid, column),
                ValueError,
                r"same shape, got scores \(4, 3\), relevance \(4, 1\)",
            ),
            Refused(
                f"{name}: integer scores",
                lambda call=call: call(grid.long(), grid),
                TypeError,
                "scores must be floating point, got torch.int64",
            ),
            Refused(
                f"{name}: list of lists",
                lambda call=call: call(grid, grid.tolist()),
                TypeError,
                "relevance must be a real torch.Tensor, got list",
            ),
            Refused(
                f"{name}: complex relevance",
                lambda call=call: call(grid, grid + 0j),
                TypeError,
                "relevance must be a real torch.Tensor, got torch.complex64",
            ),
            Refused(
                f"{name}: lists of nothing",
                lambda call=call: call(grid[:, :0], grid[:, :0]),
                ValueError,
                r"scores is empty, got shape \(4, 0\)",
            ),
            Refused(
                f"{name}: a single number",
                lambda call=call: call(four[0], four[0]),
                ValueError,
                "scores must ",
            ),
        ]
    ),
    Refused(
        "listnet: one list without its row",
        lambda: cl.ListNetLoss()(four, four),
        ValueError,
        r"scores must have 2 dimensions, got shape \(4,\)",
    ),
    *(
        Refused(
            f"{name}: NaN",
            lambda call=call: call(torch.tensor([[0.0, math.nan]]), torch.ones(1, 2)),
            ValueError,
            "scores must be numbers, got NaN",
        )
        for name, call in OF_LISTS.items()
        if name != "listnet"
    ),
    *(
        Refused(
            f"ndcg: grade {grade}",
            lambda grade=grade: cl.ndcg(four, four + grade),
            ValueError,
            rf"relevance must be in \[0, 1000\], got grades from {grade} to {grade}",
        )
        for grade in (-1, 1001, math.nan)
    ),
    Refused("ndcg: k = 0", lambda: cl.ndcg(four, four, k=0), ValueError, "k must be at least 1"),
    Refused("ndcg: k = 1.5", lambda: cl.ndcg(four, four, k=1.5), TypeError, "k must be an integer"),
]
