"""Which loss for which task: the decision tree as a table, with the reason for each answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

from course_losses.catalogue.card import LossCard
from course_losses.checks import one_of


@dataclass(frozen=True)
class Number:
    """A fact that is a number above ``above``, and below ``below`` if that is given."""

    above: float
    below: float = float("inf")


Facts = Mapping[str, Any]
YES_OR_NO = (True, False)

FACTS: dict[str, dict[str, tuple[object, ...] | Number]] = {
    "regression": {
        "outliers": YES_OR_NO,
        "smooth": YES_OR_NO,
        "usual_error": Number(0),
        "quantile": Number(0, 1),
        "over_penalty": Number(0),
        "noise_varies": YES_OR_NO,
    },
    "classification": {
        "labels": ("binary", "exclusive", "independent"),
        "imbalance": YES_OR_NO,
        "calibrated": YES_OR_NO,
        "noisy_labels": YES_OR_NO,
        "easy_negatives": YES_OR_NO,
        "miss_cost": Number(0),
    },
    "segmentation": {
        "classes": Number(1),
        "small_objects": YES_OR_NO,
        "imbalance": YES_OR_NO,
        "calibrated": YES_OR_NO,
    },
    "detection": {
        "part": ("boxes", "classes"),
        "may_miss": YES_OR_NO,
        "shape_matters": YES_OR_NO,
        "offsets": YES_OR_NO,
        "easy_background": YES_OR_NO,
    },
    "metric learning": {
        "data": ("pairs", "triplets", "labels", "views", "two encoders"),
        "noisy_labels": YES_OR_NO,
    },
    "generation": {
        "model": ("gan", "vae", "translation"),
        "unstable": YES_OR_NO,
        "pixels": ("binary", "real"),
        "style": YES_OR_NO,
    },
    "ranking": {"given": ("pairs", "lists"), "top_matters": YES_OR_NO},
    "multitask": {
        "known_weights": YES_OR_NO,
        "shared_layer": YES_OR_NO,
    },
    "uncertainty": {
        "source": ("noise", "model", "both"),
        "targets": ("real", "classes"),
    },
}
"""What may be said about each task, and in which words."""


class Rule(NamedTuple):
    """If all facts are as told, take this loss; facts that are not told do not match."""

    when: Facts
    loss: str
    reason: str


GIVEN = object()
"""In a rule or a contradiction: the fact is told, whatever its value."""

RULES: dict[str, list[Rule]] = {
    "regression": [
        Rule(
            {"quantile": GIVEN},
            "QuantileLoss",
            "quantile={quantile:g}: only the pinball loss is least at a quantile",
        ),
        Rule(
            {"over_penalty": GIVEN},
            "AsymmetricMSELoss",
            "over_penalty={over_penalty:g}: an over-estimate costs that many times more",
        ),
        Rule(
            {"noise_varies": True},
            "GaussianNLLLoss",
            "the network predicts the variance too, so noisy points pull less",
        ),
        Rule(
            {"smooth": True},
            "LogCoshLoss",
            "every derivative exists and the slope stays below 1, outliers or not; "
            "scale the targets so that a usual error is about 1",
        ),
        Rule(
            {"outliers": True, "usual_error": GIVEN},
            "HuberLoss",
            "delta={delta:.3g}, 1.345 times the usual error: 95 % as good as the mean on clean "
            "data, and no outlier pulls harder than delta",
        ),
        Rule(
            {"outliers": True},
            "L1Loss",
            "the median does not follow outliers; tell usual_error to get Huber's loss instead",
        ),
        Rule({}, "MSELoss", "errors without outliers: the mean is the best use of all of them"),
    ],
    "classification": [
        Rule(
            {"miss_cost": GIVEN, "calibrated": True},
            "BCEWithLogitsLoss",
            "without weights its probabilities are calibrated; say yes above {threshold:.3g}, "
            "where a miss that costs {miss_cost:g} times a false alarm breaks even",
        ),
        Rule(
            {"miss_cost": GIVEN},
            "BCEWithLogitsLoss",
            "pos_weight={miss_cost:g}: a missed yes costs that many times more. The same decisions "
            "come from no weight and a threshold of {threshold:.3g}",
        ),
        Rule(
            {"easy_negatives": True, "labels": "exclusive"},
            "FocalLoss",
            "thousands of easy examples to each hard one fade; CrossEntropyLoss whose last bias "
            "starts at the logarithm of the class frequencies is the baseline to beat",
        ),
        Rule(
            {"easy_negatives": True},
            "BinaryFocalLoss",
            "thousands of easy negatives to each positive fade; BCEWithLogitsLoss whose last bias "
            "starts at the log-odds of a yes is the baseline to beat",
        ),
        Rule(
            {"imbalance": True, "labels": "exclusive"},
            "CrossEntropyLoss",
            "a rare class is no reason for another loss: its probabilities are right, so move the "
            "threshold; weight=... is for classes whose mistakes cost more",
        ),
        Rule(
            {"imbalance": True},
            "BCEWithLogitsLoss",
            "a rare yes is no reason for another loss: its probabilities are right, so move the "
            "threshold; tell miss_cost if a missed yes costs more",
        ),
        Rule(
            {"noisy_labels": True, "labels": "exclusive"},
            "LabelSmoothingCrossEntropy",
            "a wrong label cannot pull a logit to infinity",
        ),
        Rule(
            {"labels": "exclusive"},
            "CrossEntropyLoss",
            "exactly one class is right, and its probabilities are calibrated at the optimum",
        ),
        Rule(
            {},
            "BCEWithLogitsLoss",
            "each label is a question of its own, answered by a logit of its own",
        ),
    ],
    "segmentation": [
        Rule(
            {"calibrated": True},
            "CrossEntropyLoss",
            "every pixel is a classification; overlap losses give no probabilities",
        ),
        Rule(
            {"small_objects": True, "classes": 2},
            "DiceLoss",
            "the background is free, so a small object is as loud as a large one",
        ),
        Rule(
            {"small_objects": True},
            "MultiClassDiceLoss",
            "each class counts the same, however few pixels it has",
        ),
        Rule(
            {"imbalance": True, "classes": 2},
            "DiceLoss",
            "the background is free; FocalLoss is the alternative that acts pixel by pixel",
        ),
        Rule(
            {"imbalance": True},
            "MultiClassDiceLoss",
            "each class counts the same; FocalLoss is the alternative that acts pixel by pixel",
        ),
        Rule(
            {},
            "CrossEntropyDiceLoss",
            "cross-entropy has a gradient at every pixel, Dice looks at whole classes",
        ),
    ],
    "detection": [
        Rule(
            {"part": "classes", "easy_background": False},
            "CrossEntropyLoss",
            "without a flood of background boxes the plain loss is enough",
        ),
        Rule(
            {"part": "classes"},
            "BinaryFocalLoss",
            "a sigmoid for each class, as in RetinaNet: thousands of easy background boxes fade",
        ),
        Rule(
            {"offsets": True},
            "SmoothL1Loss",
            "coordinates one by one: bounded slope without a corner at 0",
        ),
        Rule(
            {"shape_matters": True},
            "CIoULoss",
            "overlap, distance of the centres, and the ratio of the sides",
        ),
        Rule({"may_miss": False}, "IoULoss", "all boxes overlap: the score itself is the loss"),
        Rule({}, "GIoULoss", "it still has a gradient where a box misses its target"),
    ],
    "metric learning": [
        Rule({"data": "pairs"}, "ContrastiveLoss", "each pair is the same or is not: verification"),
        Rule({"data": "triplets"}, "TripletLoss", "only the order of two distances is known"),
        Rule(
            {"data": "views"},
            "NTXentLoss",
            "two views of each example, no labels: all other views of the batch are negatives",
        ),
        Rule(
            {"data": "two encoders"},
            "InfoNCELoss",
            "two encoders, one pair for each row: negatives come from the other side",
        ),
        Rule(
            {"noisy_labels": True},
            "OnlineTripletLoss",
            'mining="semi-hard": the hardest triplets are often the mislabelled ones',
        ),
        Rule({}, "OnlineTripletLoss", 'mining="hard": labels give every triplet of the batch'),
    ],
    "generation": [
        Rule(
            {"model": "gan", "unstable": True},
            "GANLoss",
            'mode="wasserstein" with gradient_penalty: a slope even where the critic wins',
        ),
        Rule(
            {"model": "gan"},
            "GANLoss",
            'mode="non_saturating": the generator learns most when it is worst',
        ),
        Rule(
            {"model": "vae", "pixels": "real"},
            "VAELoss",
            'reconstruction="gaussian": squared error plus the KL divergence',
        ),
        Rule(
            {"model": "vae"},
            "VAELoss",
            'reconstruction="bernoulli": binary cross-entropy plus the KL divergence',
        ),
        Rule(
            {"style": True},
            "StyleLoss",
            "Gram matrices compare textures wherever they are",
        ),
        Rule(
            {"model": "translation"},
            "PerceptualLoss",
            "features, not pixels; add L1Loss to keep the colours",
        ),
    ],
    "ranking": [
        Rule({"given": "lists"}, "ListNetLoss", "grades for whole lists; the top counts most"),
        Rule({}, "PairwiseRankingLoss", "preferences: the better item leads by a margin"),
    ],
    "multitask": [
        Rule({"known_weights": True}, "WeightedSum", "you know what each task is worth"),
        Rule(
            {"shared_layer": True},
            "GradNorm",
            "it balances the gradients on the layer that the tasks share",
        ),
        Rule({}, "UncertaintyWeighting", "one learned weight a task, nothing to tune"),
    ],
    "uncertainty": [
        Rule(
            {"source": "noise", "targets": "classes"},
            "CrossEntropyLoss",
            "its probabilities are the noise of the labels; TemperatureScaling repairs them",
        ),
        Rule({"source": "noise"}, "GaussianNLLLoss", "the network predicts the noise's variance"),
        Rule(
            {"source": "model", "targets": "classes"},
            "ELBOLoss",
            "a distribution over weights, with kl_penalty = 1 / number of examples",
        ),
        Rule(
            {"source": "model"},
            "VariationalFreeEnergy",
            "a distribution over weights, paid for with its KL divergence",
        ),
        Rule(
            {"targets": "classes"},
            "EvidentialCELoss",
            "one pass gives a Dirichlet; its spread is no measure of what was never seen",
        ),
        Rule({}, "EvidentialNIGNLLLoss", "one pass gives a normal-inverse-gamma distribution"),
    ],
}
"""The decision tree: for each task the first rule that fits."""

CONTRADICTIONS: dict[str, list[tuple[Facts, str]]] = {
    "regression": [
        (
            {"quantile": GIVEN, "over_penalty": GIVEN},
            "one asks for a quantile, the other for an expectile",
        ),
        ({"quantile": GIVEN, "smooth": True}, "the loss of a quantile has a corner at 0"),
        (
            {"quantile": GIVEN, "noise_varies": True},
            "the network predicts either a quantile or a mean and a variance",
        ),
        (
            {"over_penalty": GIVEN, "noise_varies": True},
            "the network predicts either an expectile or a mean and a variance",
        ),
        (
            {"over_penalty": GIVEN, "outliers": True},
            "it squares the errors, so outliers dominate: ask for a quantile",
        ),
        (
            {"noise_varies": True, "outliers": True},
            "a normal density gives outliers no chance: they inflate the variance",
        ),
        ({"usual_error": GIVEN, "outliers": False}, "usual_error serves to tell outliers apart"),
    ],
    "classification": [
        (
            {"miss_cost": GIVEN, "labels": "exclusive"},
            "a miss is for yes-or-no questions: weigh classes with CrossEntropyLoss(weight=...)",
        ),
        (
            {"miss_cost": GIVEN, "imbalance": True},
            "a cost is a reason to weigh, a frequency is none: tell the cost only",
        ),
        (
            {"noisy_labels": True, "calibrated": True},
            "at its optimum a loss against noisy labels reports less confidence than it has",
        ),
        (
            {"easy_negatives": True, "calibrated": True},
            "focal loss, which lets them fade, gives no calibrated probabilities",
        ),
        (
            {"easy_negatives": True, "noisy_labels": True},
            "the hard examples that focal loss listens to would be the mislabelled ones",
        ),
    ],
    "segmentation": [
        (
            {"calibrated": True, "small_objects": True},
            "overlap losses, which find small objects, give no calibrated probabilities",
        ),
    ],
    "detection": [
        ({"part": "classes", "may_miss": GIVEN}, "may_miss is about boxes"),
        ({"part": "classes", "shape_matters": GIVEN}, "shape_matters is about boxes"),
        ({"part": "classes", "offsets": True}, "offsets are about boxes"),
        ({"part": "boxes", "easy_background": GIVEN}, "easy_background is about classes"),
        ({"offsets": True, "shape_matters": True}, "offsets are compared one by one"),
        ({"may_miss": True, "offsets": True}, "offsets are compared one by one: they never miss"),
    ],
    "metric learning": [
        ({"data": "views", "noisy_labels": GIVEN}, "views need no labels"),
        ({"data": "two encoders", "noisy_labels": GIVEN}, "pairs of two encoders need no labels"),
    ],
    "generation": [
        ({"model": "vae", "unstable": True}, "unstable is about adversarial training"),
        ({"model": "translation", "unstable": True}, "unstable is about adversarial training"),
        ({"model": "gan", "pixels": GIVEN}, "a discriminator judges pixels of any kind"),
        ({"model": "gan", "style": True}, "style is about translation"),
        ({"model": "vae", "style": True}, "style is about translation"),
    ],
    "ranking": [
        ({"given": "pairs", "top_matters": True}, "pairs do not say where in the list they stand"),
    ],
    "multitask": [
        (
            {"known_weights": True, "shared_layer": True},
            "known weights need no balancing of gradients",
        ),
    ],
    "uncertainty": [],
}
"""Facts that cannot both hold, and why."""


class Recommendation(NamedTuple):
    """A loss card and why it fits."""

    card: LossCard
    reason: str

    def __str__(self) -> str:
        return f"{self.card.name}: {self.reason}"


DEFAULTS: dict[str, Facts] = {
    "classification": {"labels": "exclusive"},
    "segmentation": {"classes": 2},
    "detection": {"part": "boxes"},
    "uncertainty": {"source": "both"},
}
"""What is assumed when nothing is told."""


def recommend(catalogue: Mapping[str, LossCard], task: str, facts: Facts) -> Recommendation:
    task = one_of("task", task.lower().replace("_", " "), FACTS)
    for name, value in facts.items():
        _valid(task, name, value)
    for clash, why in CONTRADICTIONS[task]:
        if _holds(clash, facts):
            told = " and ".join(f"{name}={facts[name]!r}" for name in clash)
            raise ValueError(f"{told} contradict each other: {why}")
    known = {**DEFAULTS.get(task, {}), **facts}
    if "miss_cost" in facts:
        known = {**known, "labels": facts.get("labels", "binary")}
    for rule in RULES[task]:
        if _holds(rule.when, known):
            return Recommendation(catalogue[rule.loss], rule.reason.format(**_words(known)))
    missing = next(iter(FACTS[task]))
    allowed = ", ".join(map(repr, FACTS[task][missing]))  # type: ignore[arg-type]
    raise ValueError(f"{task} needs the fact {missing}: one of {allowed}")


def _holds(conditions: Facts, facts: Facts) -> bool:
    return all(
        name in facts and (value is GIVEN or facts[name] == value)
        for name, value in conditions.items()
    )


def _valid(task: str, name: str, value: object) -> None:
    allowed = FACTS[task].get(name)
    if allowed is None:
        raise ValueError(f"no fact {name} for {task}: there are {', '.join(FACTS[task])}")
    if isinstance(allowed, Number):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number, got {value!r}")
        if not allowed.above < float(value) < allowed.below:
            raise ValueError(
                f"{name} must be in ({allowed.above:g}, {allowed.below:g}), got {value}"
            )
    elif type(value) is not type(allowed[0]):
        raise TypeError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    else:
        one_of(name, value, allowed)


def _words(facts: Facts) -> dict[str, Any]:
    """The facts, and the numbers that follow from them."""
    words = dict(facts)
    if "usual_error" in facts:
        words["delta"] = 1.345 * facts["usual_error"]
    if "miss_cost" in facts:
        words["threshold"] = 1 / (1 + facts["miss_cost"])
    return words
