"""What is known about every loss, tested fact by fact, and which one to take."""

from course_losses.catalogue import (
    classification,
    detection,
    metric_learning,
    regression,
    segmentation,
)
from course_losses.catalogue.card import ACTIVATIONS, LossCard, Problem

CATALOGUE: dict[str, LossCard] = {
    card.name: card
    for card in [
        *regression.CARDS,
        *classification.CARDS,
        *segmentation.CARDS,
        *detection.CARDS,
        *metric_learning.CARDS,
    ]
}
"""Every loss of the package by name."""

__all__ = ["ACTIVATIONS", "CATALOGUE", "LossCard", "Problem"]
