"""The stepper's drawing, checked number by number, and the source that a chapter shows."""

import math
import re

import pytest
import torch

from course_losses import HuberLoss
from course_losses.viz import Source, Stepper, loss_curves, loss_stepper

X = [0.0, 1.0, 2.0]


def line(slope: float) -> dict[str, dict[str, list[float]]]:
    return {"loss": {"moving": [slope * x for x in X], "still": [0.0, 1.0, 0.0]}}


def stepper(**changes: object) -> Stepper:
    given = {"xlabel": "x", "caption": "Steeper.", "ylim": {"loss": (0.0, 4.0)}, **changes}
    return Stepper("w", X, {1.0: line(1), 2.0: line(2), 3.0: line(-3)}, **given)  # type: ignore[arg-type]


def curves(html: str) -> list[tuple[str, str, str]]:
    panels = html.partition('<div class="control">')[0]
    return re.findall(r'<path class="(c\d(?: on)?)"( data-step="\d")? d="([^"]*)"/>', panels)


def test_curves_by_hand() -> None:
    """A plot is 3000 wide and 1900 high, y = 0 at the bottom, 4 at the top."""
    drawn = curves(stepper()._repr_html_())
    assert drawn == [
        ("c1", "", "M0 1900l1500-475 1500 475"),
        ("c0", ' data-step="0"', "M0 1900l3000-950"),
        ("c0 on", ' data-step="1"', "M0 1900l3000-1900"),
        ("c0", ' data-step="2"', "M0 1900l1500 1425 1500 475"),
    ]


def test_a_point_far_outside_is_drawn_at_the_edge_beyond_the_frame() -> None:
    steps = {1.0: {"loss": {"a": [0.0, 1e30, -math.inf]}}, 2.0: {"loss": {"a": [0.0, 1.0, 2.0]}}}
    html = Stepper("w", X, steps, xlabel="x", caption="c", ylim={"loss": (0, 1)})._repr_html_()
    assert curves(html)[0][2] == "M0 1900l1500-3800"


def test_a_gap_splits_the_curve() -> None:
    nan = math.nan
    steps = {1.0: {"loss": {"a": [0.0, 1.0, nan, 1.0, 0.0]}}}
    html = Stepper("w", range(5), steps, xlabel="x", caption="c", ylim={"loss": (0, 1)})
    assert curves(html._repr_html_())[0][2] == "M0 1900l750-1900M2250 0l750 1900"


def test_thinning_keeps_every_point_within_a_fifth_of_a_pixel() -> None:
    x = torch.linspace(-3, 3, 121, dtype=torch.float64)
    heights = torch.tanh(3 * x) + 0.1 * torch.sin(9 * x)
    steps = {1.0: {"loss": {"a": heights.tolist()}}}
    drawn = Stepper("w", x.tolist(), steps, xlabel="x", caption="c", ylim={"loss": (-1.2, 1.2)})
    numbers = [int(n) for n in re.findall(r"-?\d+", curves(drawn._repr_html_())[0][2])]
    steps_drawn = torch.tensor(numbers, dtype=torch.float64).view(-1, 2).cumsum(0)
    exact = 1900 * (1.2 - heights) / 2.4
    between = torch.zeros_like(exact)
    for i, across in enumerate((3000 * (x + 3) / 6).tolist()):
        right = int((steps_drawn[:, 0] < across).sum().clamp(1, len(steps_drawn) - 1))
        (ax, ay), (bx, by) = steps_drawn[right - 1].tolist(), steps_drawn[right].tolist()
        between[i] = ay + (by - ay) * (across - ax) / (bx - ax)
    assert len(steps_drawn) < len(x)
    slope = (exact[1:] - exact[:-1]).abs().max() / 25
    assert (between - exact).abs().max() <= 3 * math.hypot(1, slope)


def test_spoken_and_shown_values() -> None:
    html = stepper(start=3)._repr_html_()
    assert 'aria-valuetext="3: loss from −6 to 0"' in html
    assert 'data-said="1: loss from 0 to 2"' in html
    assert 'value="2"' in html
    assert 'aria-label="loss against x: moving, still"' in html


def test_gradients_are_the_losses_own() -> None:
    def loss(error: torch.Tensor, delta: float) -> torch.Tensor:
        return HuberLoss(delta, reduction="none")(error, 0 * error)

    shown = loss_stepper(
        "δ", [1, 2], {"Huber": loss}, torch.tensor([-3.0, 0.5, 3.0]), xlabel="error", caption="c"
    )
    assert shown.steps[1.0]["loss"]["Huber"] == [2.5, 0.125, 2.5]
    assert shown.steps[1.0]["gradient"]["Huber"] == [-1.0, 0.5, 1.0]
    assert shown.steps[2.0]["gradient"]["Huber"] == [-2.0, 0.5, 2.0]


def test_five_values_of_two_panels_weigh_less_than_15_kilobytes() -> None:
    def wild(x: torch.Tensor, value: float) -> torch.Tensor:
        return torch.sin(value * x) * torch.exp(-x / 4)

    x = torch.linspace(0, 12, 121, dtype=torch.float64)
    shown = loss_stepper("f", [1, 2, 3, 4, 5], {"wild": wild}, x, xlabel="x", caption="c")
    assert len(shown._repr_html_().encode()) <= 15_000


def test_last_bits_do_not_show() -> None:
    """The same curve as another processor would compute it gives the same bytes."""
    x = torch.linspace(-3, 3, 121, dtype=torch.float64)
    noise = 1 + 2e-15 * torch.sign(torch.sin(7 * x))
    curves_ = [
        {w: {"loss": {"a": (w * x**2 / 8 * bits).tolist()}} for w in (1.0, 2.0)}
        for bits in (torch.ones_like(x), noise)
    ]
    pages = [
        Stepper("w", x.tolist(), steps, xlabel="x", caption="c")._repr_html_() for steps in curves_
    ]
    assert curves_[0] != curves_[1]
    assert pages[0] == pages[1]


def test_text_is_escaped() -> None:
    html = stepper(xlabel="a < b", caption="<script>")._repr_html_()
    assert "a &lt; b" in html
    assert "<script>" not in html


@pytest.mark.parametrize(
    ("steps", "changes", "complaint"),
    [
        ({}, {}, "at least one step"),
        ({1.0: {"loss": {"a": [0.0]}}}, {}, "'a' has 1 values for 3 positions"),
        ({1.0: line(1), 2.0: {"loss": {"a": X}}}, {}, "step 2 has other panels or labels"),
        ({1.0: {"loss": dict.fromkeys("abcde", X)}}, {}, "5 curves, at most 4"),
        ({1.0: line(1)}, {"start": 4}, "start must be one of"),
        ({1.0: line(1)}, {"ylim": {"los": (0, 1)}}, "ylim names no panel: los"),
    ],
)
def test_misuse_is_named(
    steps: dict[float, dict[str, dict[str, list[float]]]],
    changes: dict[str, object],
    complaint: str,
) -> None:
    with pytest.raises(ValueError, match=complaint):
        Stepper("w", X, steps, xlabel="x", caption="c", **changes)  # type: ignore[arg-type]


def test_source_is_the_code_without_its_docstring() -> None:
    shown = repr(Source(HuberLoss))
    assert shown.startswith("class HuberLoss(Loss):\n    def __init__(")
    assert '"""' not in shown
    assert "return self.reduce(" in shown
    assert Source(HuberLoss)._repr_markdown_() == f"```python\n{shown}\n```"


def documented(x: int) -> int:
    """A docstring.

    Of several lines.
    """
    # A comment stays.
    return x + 1


def test_source_of_a_function() -> None:
    code = "def documented(x: int) -> int:\n    # A comment stays.\n    return x + 1"
    assert repr(Source(documented)) == code


def test_without_a_choice_there_is_no_slider() -> None:
    x = torch.tensor(X, dtype=torch.float64)
    limits = {"loss": (0.0, 4.0), "gradient": (0.0, 4.0)}
    figure = loss_curves({"x²": lambda at: at**2}, x, xlabel="x", caption="c", ylim=limits)
    html = figure._repr_html_()
    assert "<input" not in html
    assert "<label" not in html
    assert ">x²</span>" in html
    assert curves(html) == [
        ("c0", "", "M0 1900l1500-475 1500-1425"),
        ("c0", "", "M0 1900l3000-1900"),
    ]


def test_a_kink_is_met_although_the_position_is_off_by_its_last_bit() -> None:
    html = loss_curves(
        {"|x|": torch.abs},
        torch.tensor([-1.0, 4e-16, 1.0], dtype=torch.float64),
        xlabel="x",
        caption="c",
        ylim={"loss": (0.0, 1.0), "gradient": (-1.0, 1.0)},
    )._repr_html_()
    assert curves(html)[1][2] == "M0 1900l3000-1900"
