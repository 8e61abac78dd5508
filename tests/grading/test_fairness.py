"""Right solutions in any style get full marks; wrong ones do not, and usual mistakes are named."""

from collections.abc import Callable

import pytest
from grading.variants.tversky import DEFINITION, RIGHT, WRONG, edited, forward

from course_losses.grading.rubric import Mistake
from course_losses.grading.slot import Outcome, Slot
from course_losses.grading.student import here

Marks = Callable[..., Outcome]
BODY = DEFINITION.partition("        tp")[2].join(["tp", ""]).replace("\n        ", "\n")


@pytest.mark.parametrize("source", RIGHT.values(), ids=RIGHT)
def test_right_in_any_style(marks: Marks, source: str) -> None:
    outcome = marks(source)
    assert (outcome.status, outcome.score, outcome.detail) == ("graded", 10.0, "")


@pytest.mark.parametrize("source", WRONG.values(), ids=WRONG)
def test_wrong_costs_marks(marks: Marks, source: str) -> None:
    outcome = marks(source)
    assert outcome.status == "graded"
    assert outcome.score < 10
    assert outcome.detail


def test_noise_around_the_class_costs_nothing(marks: Marks) -> None:
    before = ["!ls", "1 / 0", "%%html\n<b>hello</b>"]
    outcome = marks(*before, DEFINITION, "undefined_name", "import nonesuch", "x =")
    assert outcome.score == 10
    assert outcome.detail.startswith("code cell 2 raised ZeroDivisionError")
    assert outcome.detail.endswith("and 3 more")


@pytest.mark.parametrize(
    ("source", "diagnosis"),
    [
        (WRONG["1 - (tp → (tp"], "The loss is 1 minus the index"),
        (WRONG["self.alpha * fp + self.beta * fn → self.beta * fp + self.alpha * fn"], "swapped"),
        (WRONG["self.alpha * fp + self.beta * fn → fp + fn"], "Jaccard"),
        (WRONG["self.alpha * fp + self.beta * fn → 0.5 * fp + 0.5 * fn"], "not used"),
        (WRONG["return 1 - (tp + self.smooth) → return 1 - tp"], "missing in the numerator"),
        (WRONG["+ self.beta * fn + self.smooth) → + self.beta * fn)"], "in the denominator"),
        (forward("pred = pred.sigmoid()\n" + BODY), "sigmoid"),
        (forward("pred = (pred > 0.5).float()\n" + BODY), "thresholded"),
        (forward("pred = pred.detach()\n" + BODY), "detached"),
        (edited((".sum()", ".sum((1, 2, 3))")), "One number per image"),
        (WRONG["mean of the images"], "mean over the images"),
        (WRONG["sum of the images"], "sum over the images"),
        (WRONG["a Python number"], "detached"),
        (WRONG["a shape of (1,)"], "shape (1,)"),
        (WRONG["changes target"], "An input was changed in place"),
        (WRONG["nothing"], "not attempted"),
        (WRONG["raises"], "ValueError was raised in cell 1, line"),
        (forward("raise NotImplementedError"), "not attempted"),
        (WRONG["= alpha, beta, smooth → = alpha, beta, 1.0"], "smooth is always 1"),
        (edited(("self.smooth)", "0)")), "smooth is missing: it belongs in"),
        (WRONG["the logarithm"], "logarithm"),
        (WRONG["1 - (tp → -(tp"], "minus the index"),
        (edited(("1 - (tp + self.smooth) /", "1 - tp + self.smooth /")), "only smooth is divided"),
        (edited(("/ (tp", "/ tp"), ("fn + self.smooth)", "fn + self.smooth")), "only tp divides"),
        (edited(("fn = ((1 - pred) * target)", "fn = ((1 - pred) * (1 - target))")), "background"),
        (forward("pred = torch.as_tensor(pred.numpy())\n" + BODY), "NumPy knows no gradients"),
        (forward("import numpy as np\nreturn np.sum(pred * target)"), "NumPy knows"),
        (forward("pred += 0.0\n" + BODY), "changed in place"),
        (edited(("super().__init__()", "pass")), "must begin with super().__init__()"),
        (edited(("return 1", "return pred, 1")), "a tuple or list instead of a tensor"),
        (WRONG["a Python number"], "A Python number comes back; return the tensor itself"),
    ],
)
def test_usual_mistakes_are_named(marks: Marks, source: str, diagnosis: str) -> None:
    assert diagnosis in marks(source).detail


def test_every_mistake_answers_differently_from_the_solution(slot: Slot) -> None:
    names = slot.answers.solution  # type: ignore[attr-defined]
    for mistake in slot.session.mistakes:
        assert isinstance(mistake, Mistake)
        other = [m for m in slot.session.mistakes if m is not mistake]
        verdicts = _judged_as(slot, mistake.applied(names))
        assert any(v.diagnosis == mistake.diagnosis for v in verdicts), mistake.name
        assert not any(v.diagnosis in {m.diagnosis for m in other} for v in verdicts[:1]), (
            mistake.name
        )


def _judged_as(slot: Slot, names: dict) -> list:

    return slot.session.run(here(names), slot.answers)


def test_a_message_never_carries_the_hidden_inputs_back(marks: Marks) -> None:
    outcome = marks(forward("raise ValueError(str(pred.flatten().tolist()))"))
    assert "0." not in outcome.detail


def test_nothing_defined_is_an_error(marks: Marks) -> None:
    outcome = marks("x = 1", "1 / 0")
    assert (outcome.status, outcome.score) == ("error", 0)
    assert outcome.detail.startswith(
        "TverskyLoss is not defined; code cell 2 raised ZeroDivisionError"
    )
