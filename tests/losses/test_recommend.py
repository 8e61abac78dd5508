"""The decision tree: the lecture's leaves, the article's cases, and what it must refuse."""

import re

import pytest

from course_losses import CATALOGUE, recommend_loss
from course_losses.catalogue.recommend import CONTRADICTIONS, DEFAULTS, FACTS, GIVEN, RULES, Number


@pytest.mark.parametrize(
    ("task", "facts", "loss", "why"),
    [
        # the lecture's tree
        ("regression", {}, "MSELoss", "mean"),
        ("regression", {"outliers": True}, "L1Loss", "median"),
        ("regression", {"outliers": True, "usual_error": 2.0}, "HuberLoss", "delta=2.69"),
        ("regression", {"smooth": True}, "LogCoshLoss", "derivative"),
        ("classification", {"labels": "binary"}, "BCEWithLogitsLoss", "question"),
        ("classification", {"labels": "exclusive"}, "CrossEntropyLoss", "one class"),
        ("classification", {"labels": "independent"}, "BCEWithLogitsLoss", "question"),
        ("classification", {"imbalance": True}, "CrossEntropyLoss", "threshold.*weight"),
        ("classification", {"easy_negatives": True}, "FocalLoss", "bias"),
        ("segmentation", {"small_objects": True}, "DiceLoss", "background"),
        ("segmentation", {"imbalance": True, "classes": 5}, "MultiClassDiceLoss", "FocalLoss"),
        ("segmentation", {}, "CrossEntropyDiceLoss", "every pixel"),
        ("segmentation", {"calibrated": True}, "CrossEntropyLoss", "classification"),
        ("detection", {"part": "classes"}, "BinaryFocalLoss", "sigmoid"),
        ("detection", {"part": "classes", "easy_background": False}, "CrossEntropyLoss", "plain"),
        ("detection", {"part": "boxes"}, "GIoULoss", "misses"),
        ("detection", {"may_miss": False}, "IoULoss", "overlap"),
        ("detection", {"offsets": True}, "SmoothL1Loss", "corner"),
        ("metric learning", {"data": "pairs"}, "ContrastiveLoss", "verification"),
        ("metric learning", {"data": "triplets"}, "TripletLoss", "order"),
        ("metric_learning", {"data": "views"}, "NTXentLoss", "no labels"),
        ("generation", {"model": "gan"}, "GANLoss", "non_saturating"),
        ("generation", {"model": "gan", "unstable": True}, "GANLoss", "wasserstein"),
        ("generation", {"model": "vae"}, "VAELoss", "bernoulli"),
        ("generation", {"model": "translation"}, "PerceptualLoss", "L1Loss"),
        # the article's cases
        ("classification", {"labels": "binary", "imbalance": True}, "BCEWithLogitsLoss", "move"),
        (
            "classification",
            {"labels": "binary", "easy_negatives": True},
            "BinaryFocalLoss",
            "log-odds",
        ),
        ("classification", {"miss_cost": 5}, "BCEWithLogitsLoss", "pos_weight=5.*0.167"),
        ("ranking", {"given": "pairs"}, "PairwiseRankingLoss", "margin"),
        ("ranking", {"given": "lists"}, "ListNetLoss", "top"),
        ("multitask", {}, "UncertaintyWeighting", "nothing to tune"),
        ("generation", {"model": "translation", "style": True}, "StyleLoss", "Gram"),
    ],
)
def test_a_leaf(task, facts, loss, why):
    recommendation = recommend_loss(task, **facts)
    card, reason = recommendation
    assert card is CATALOGUE[loss]
    assert re.search(why, reason), reason
    assert str(recommendation) == f"{loss}: {reason}"


def told(task: str, conditions: dict) -> dict:
    """Facts that meet the conditions, with some number where any will do."""
    given = {name: 0.3 for name, kind in FACTS[task].items() if isinstance(kind, Number)}
    words = {name: kind[0] for name, kind in FACTS[task].items() if isinstance(kind, tuple)}
    return {n: {**words, **given}[n] if v is GIVEN else v for n, v in conditions.items()}


RULE_ROWS = [(task, i) for task, rules in RULES.items() for i in range(len(rules))]


@pytest.mark.parametrize(("task", "i"), RULE_ROWS)
def test_every_rule_is_reached(task, i):
    rule = RULES[task][i]
    facts = told(task, rule.when)
    if "miss_cost" in facts:
        facts["labels"] = "binary"
    if rule.loss in ("BCEWithLogitsLoss", "BinaryFocalLoss") and task == "classification":
        facts["labels"] = "independent"
    if rule.loss == "MultiClassDiceLoss":
        facts["classes"] = 7
    card, reason = recommend_loss(task, **facts)
    assert card.name == rule.loss
    assert "{" not in reason
    assert reason.startswith(rule.reason.partition("{")[0])


CLASHES = [(task, i) for task, rows in CONTRADICTIONS.items() for i in range(len(rows))]


@pytest.mark.parametrize(("task", "i"), CLASHES)
def test_contradictory_facts_are_refused(task, i):
    conditions, why = CONTRADICTIONS[task][i]
    facts = told(task, conditions)
    with pytest.raises(ValueError, match="contradict each other") as refused:
        recommend_loss(task, **facts)
    assert why in str(refused.value)
    assert all(f"{name}=" in str(refused.value) for name in facts)


@pytest.mark.parametrize(
    ("task", "facts", "error", "message"),
    [
        ("regresion", {}, ValueError, "task must be one of 'regression'"),
        ("regression", {"outlier": True}, ValueError, "no fact outlier.*there are outliers"),
        ("regression", {"outliers": 1}, TypeError, "outliers must be one of True, False, got 1"),
        ("regression", {"quantile": 1.5}, ValueError, r"quantile must be in \(0, 1\), got 1.5"),
        ("regression", {"quantile": "half"}, TypeError, "quantile must be a number"),
        ("regression", {"quantile": True}, TypeError, "quantile must be a number"),
        ("classification", {"miss_cost": 0}, ValueError, r"miss_cost must be in \(0, inf\)"),
        ("classification", {"labels": "many"}, ValueError, "labels must be one of 'binary'"),
        ("generation", {}, ValueError, "generation needs the fact model: one of 'gan', 'vae'"),
    ],
)
def test_refused(task, facts, error, message):
    with pytest.raises(error, match=message):
        recommend_loss(task, **facts)


def test_the_tables_speak_of_one_set_of_tasks_and_facts():
    assert set(RULES) == set(FACTS) == set(CONTRADICTIONS)
    assert set(DEFAULTS) <= set(FACTS)
    for task, rules in RULES.items():
        used = [name for rule in rules for name in rule.when]
        used += [name for clash, _ in CONTRADICTIONS[task] for name in clash]
        assert set(used) == set(FACTS[task])
        assert {rule.loss for rule in rules} <= set(CATALOGUE)


def test_every_task_is_recommended_something_without_facts_or_says_what_it_needs():
    for task in FACTS:
        if task == "generation":
            continue
        assert recommend_loss(task).card.name in CATALOGUE
