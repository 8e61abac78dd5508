"""What is known about every loss, tested fact by fact, and which one to take."""

from typing import Any

from course_losses.catalogue import (
    bayesian,
    classification,
    combined,
    detection,
    evidential,
    metric_learning,
    regression,
    segmentation,
)
from course_losses.catalogue.card import ACTIVATIONS, LossCard, Problem
from course_losses.catalogue.recommend import FACTS, RULES, Recommendation, recommend

CATALOGUE: dict[str, LossCard] = {
    card.name: card
    for card in [
        *regression.CARDS,
        *classification.CARDS,
        *segmentation.CARDS,
        *detection.CARDS,
        *metric_learning.CARDS,
        *evidential.CARDS,
        *bayesian.CARDS,
        *combined.CARDS,
    ]
}
"""Every loss of the package by name."""


def recommend_loss(task: str, **facts: Any) -> Recommendation:
    """The card of the loss to start with, and the reason.

    Args:
        task: "regression", "classification", "segmentation", "detection", "metric learning",
            "generation", "ranking", "multitask" or "uncertainty".
        facts: what you know about it; ``FACTS[task]`` lists what may be told.

    Raises:
        ValueError: the task or a fact is unknown, a value is not allowed, facts contradict each
            other, or the one fact without which there is no answer is missing.
        TypeError: a fact has a value of the wrong type.

    >>> print(recommend_loss("regression", outliers=True, usual_error=2.0))
    HuberLoss: delta=2.69, 1.345 times the usual error: 95 % as good as the mean on clean data, and no outlier pulls harder than delta
    >>> card, reason = recommend_loss("segmentation", small_objects=True)
    >>> card.name
    'DiceLoss'
    """  # noqa: E501
    return recommend(CATALOGUE, task, facts)


__all__ = [
    "ACTIVATIONS",
    "CATALOGUE",
    "FACTS",
    "RULES",
    "LossCard",
    "Problem",
    "Recommendation",
    "recommend_loss",
]
