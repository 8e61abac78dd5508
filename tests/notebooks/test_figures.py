"""What a figure shows can be read off it, number by number; the rest of it is no data."""

import math
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from course_losses.viz import Stepper
from tools.figures import MOST_POINTS, figure_panels, stepper_panels

X = [1, 2, 3]


@pytest.fixture
def axes() -> Iterator[Axes]:
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def series(axes: Axes) -> list[dict[str, Any]]:
    (panel,) = figure_panels(axes.figure)
    return panel["series"]


def test_curves_by_their_labels_and_axes(axes: Axes) -> None:
    axes.plot(X, [1, 4, 9], label="squares")
    axes.plot([1, 2, 3, math.nan], [1, math.nan, 27.00049, 4], label="cubes")
    axes.set(title="Powers", xlabel="a\nnumber", ylabel="its power")
    squares = {"name": "squares", "x": [1, 2, 3], "y": [1, 4, 9]}
    cubes = {"name": "cubes", "x": [1, 3], "y": [1, 27]}
    assert figure_panels(axes.figure) == [
        {"title": "Powers", "x": "a number", "y": "its power", "series": [squares, cubes]}
    ]


def test_four_digits_and_whole_numbers(axes: Axes) -> None:
    axes.plot([12345, 0.123456, 1e-20], [1 / 3, -2e30, 1e5], label="a")
    assert series(axes)[0]["x"] == [12345, 0.1235, 1e-20]
    assert series(axes)[0]["y"] == [0.3333, -2e30, 100000]


def test_a_band_belongs_to_the_curve_of_its_colour(axes: Axes) -> None:
    axes.plot(X, [0, 0, 0], label="b")
    (line,) = axes.plot(X, [1, 4, 9], label="a")
    axes.fill_between(X, [2, 5, 10], [0, 3, 8], color=line.get_color(), alpha=0.2)
    axes.fill_between([0, 4], 0, [1, 2], color="C4", label="alone")
    assert series(axes) == [
        {"name": "b", "x": X, "y": [0, 0, 0]},
        {"name": "a", "x": X, "y": [1, 4, 9], "low": [0, 3, 8], "high": [2, 5, 10]},
        {"name": "alone", "x": [0, 4], "low": [0, 0], "high": [1, 2]},
    ]


def test_error_bars_once_with_their_ends(axes: Axes) -> None:
    axes.errorbar(X, [1, 4, 9], [[1, 1, 1], [2, 2, 2]], capsize=3, label="a")
    axes.errorbar(X, [0, 1, 2], 1, fmt="none", label="b")
    assert series(axes) == [
        {"name": "a", "x": X, "y": [1, 4, 9], "low": [0, 3, 8], "high": [3, 6, 11]},
        {"name": "b", "x": X, "y": [0, 1, 2], "low": [-1, 0, 1], "high": [1, 2, 3]},
    ]


def test_lying_error_bars_stand_by_the_names_of_their_places(axes: Axes) -> None:
    axes.errorbar([5, 7], [0.1, 1.1], xerr=1, fmt="o", label="cost")
    axes.axvline(6, color="0.5")
    axes.set(yticks=[0, 1], yticklabels=["first\ncase", "second"], xlabel="euros")
    assert figure_panels(axes.figure) == [
        {
            "title": "",
            "x": "",
            "y": "euros",
            "series": [
                {
                    "name": "cost",
                    "x": ["first case", "second"],
                    "y": [5, 7],
                    "low": [4, 6],
                    "high": [6, 8],
                }
            ],
        }
    ]


def test_bars_standing_stacked_and_lying(axes: Axes) -> None:
    axes.bar(["a", "b"], [1, 2], label="below")
    axes.bar(["a", "b"], [3, 4], bottom=[1, 2], label="above")
    assert series(axes) == [
        {"name": "below", "x": ["a", "b"], "y": [1, 2]},
        {"name": "above", "x": ["a", "b"], "y": [3, 4]},
    ]
    axes.clear()
    axes.barh(["a", "b"], [1, 2], label="lying")
    assert series(axes) == [{"name": "lying", "x": ["a", "b"], "y": [1, 2]}]


@pytest.mark.parametrize("histtype", ["bar", "step"])
def test_histograms_by_the_middles_of_their_bins(axes: Axes, histtype: Any) -> None:
    axes.hist([1, 2, 2, 3, 3, 3], bins=[0.5, 1.5, 2.5, 4.5], histtype=histtype, label="h")
    assert series(axes) == [{"name": "h", "x": [1, 2, 3.5], "y": [1, 2, 3]}]


def test_points_and_levels(axes: Axes) -> None:
    axes.scatter(X, [3, 1, 2], label="points")
    axes.axhline(2.5, label="level")
    axes.axvline(1.5, label="threshold")
    assert series(axes) == [
        {"name": "points", "x": X, "y": [3, 1, 2]},
        {"name": "level", "y": [2.5]},
        {"name": "threshold", "x": [1.5]},
    ]


def test_what_is_no_data(axes: Axes) -> None:
    axes.imshow([[0, 1], [1, 0]])
    axes.contour([[0, 1], [1, 0]])
    axes.add_patch(Rectangle((0, 0), 1, 1))
    axes.fill([0, 0, 1, 1, 2, 2], [0, 1, 1, 2, 2, 0])
    axes.annotate("here", (0, 0), (1, 1), arrowprops={})
    axes.axhline(0, color="C5")
    axes.plot([0, 1], [0, 1], color="0.46")
    assert figure_panels(axes.figure) == []


def test_a_name_from_legend_text_or_axis(axes: Axes) -> None:
    (line,) = axes.plot(X, [1, 2, 3], color="C0")
    axes.plot(X, [2, 3, 4], color="C1")
    axes.plot(X, [3, 4, 5], color="C2")
    axes.plot(X, [4, 5, 6], color="C2")
    axes.legend([line], ["by legend"])
    axes.text(3, 4, "by text", color="C1")
    axes.set_ylabel("what remains")
    names = [one["name"] for one in series(axes)]
    assert names == ["by legend", "by text", "what remains", "what remains (2)"]


def test_a_lone_curve_is_named_by_the_legend_before_the_axis(axes: Axes) -> None:
    (line,) = axes.plot(X, X)
    axes.legend([line], ["by legend"])
    axes.set_ylabel("height")
    assert series(axes)[0]["name"] == "by legend"


def test_a_colour_with_two_names_gives_neither(axes: Axes) -> None:
    for label in ("a", "b", None):
        axes.plot(X, X, color="C0", label=label)
    assert [one["name"] for one in series(axes)] == ["a", "b", ""]


def test_a_grey_curve_of_many_points_is_data(axes: Axes) -> None:
    axes.plot(range(9), range(9), color="0.5")
    axes.set_ylabel("height")
    assert series(axes)[0]["name"] == "height"


def test_grey_points_are_not_what_a_grey_line_is(axes: Axes) -> None:
    axes.plot(X, X, color="0.5", label="truth")
    axes.scatter(X, X, color="0.5")
    axes.text(1, 1, "here")
    axes.set_ylabel("height")
    assert [one["name"] for one in series(axes)] == ["truth", "height"]


def test_points_coloured_by_value_are_not_what_the_first_colour_is(axes: Axes) -> None:
    axes.scatter(X, X, c=X)
    axes.plot(X, X, color="C0", label="line")
    axes.set_ylabel("height")
    assert {one["name"] for one in series(axes)} == {"line", "height"}


def test_two_colours_without_names_stay_nameless(axes: Axes) -> None:
    axes.plot(X, [1, 2, 3])
    axes.plot(X, [2, 3, 4])
    axes.set_ylabel("loss")
    assert [one["name"] for one in series(axes)] == ["", ""]


def test_colours_of_another_panel_count_only_where_they_speak_for_all() -> None:
    figure, (left, right) = plt.subplots(1, 2)
    left.plot(X, X, label="a")
    left.plot(X, X, label="b")
    left.legend()
    right.plot(X, X)
    right.set_ylabel("weight")
    assert [one["name"] for one in figure_panels(figure)[1]["series"]] == ["weight"]
    figure.legend()
    assert [one["name"] for one in figure_panels(figure)[1]["series"]] == ["a"]
    level = right.axhline(1, color="C1")
    assert [one["name"] for one in figure_panels(figure)[1]["series"]] == ["a", "b"]
    level.remove()
    figure.legends.clear()
    right.plot(X, X)
    assert [one["name"] for one in figure_panels(figure)[1]["series"]] == ["a", "b"]
    right.plot(X, X)
    assert [one["name"] for one in figure_panels(figure)[1]["series"]] == ["", "", ""]
    plt.close(figure)


def test_points_drawn_one_by_one_are_one_series(axes: Axes) -> None:
    for x in X:
        axes.plot(x, x**2, "o", color="C1", label="squares" if x == 1 else None)
    assert series(axes) == [{"name": "squares", "x": X, "y": [1, 4, 9]}]


def test_labels_at_ticks_are_places_only_where_they_say_something_else(axes: Axes) -> None:
    axes.plot([10, 20], [1, 2], label="a")
    axes.set_xticks([10, 20.4], ["10", "20"])
    assert series(axes)[0]["x"] == [10, 20]
    axes.set_xticks([10, 20], ["0.1", "0.2"])
    assert series(axes)[0]["x"] == ["0.1", "0.2"]
    axes.plot([10, 15, 20], [1, 2, 3], label="between")
    assert [one["x"] for one in series(axes)] == [["0.1", "0.2"], [10, 15, 20]]


def test_a_long_series_is_thinned_and_says_so(axes: Axes) -> None:
    axes.plot(range(3 * MOST_POINTS), range(3 * MOST_POINTS), label="long")
    (long,) = series(axes)
    assert long["every"] == 3
    assert long["x"] == list(range(0, 3 * MOST_POINTS, 3))


def test_panels_share_names_of_axes_and_skip_colour_bars() -> None:
    figure, axes = plt.subplots(1, 2, sharey=True)
    axes[0].scatter(X, X, label="a")
    coloured = axes[1].scatter(X, X, c=X, label="b")
    figure.colorbar(coloured)
    axes[0].set(title="left", ylabel="height")
    figure.supxlabel("time")
    panels = figure_panels(figure)
    assert [(p["title"], p["x"], p["y"]) for p in panels] == [
        ("left", "time", "height"),
        ("panel 2", "time", "height"),
    ]
    plt.close(figure)


def test_a_colour_bar_is_no_panel(axes: Axes) -> None:
    axes.figure.colorbar(axes.scatter(X, X, c=X, label="a"))
    axes.figure.suptitle("Three points")
    (panel,) = figure_panels(axes.figure)
    assert panel["title"] == "Three points"


def test_what_it_cannot_say_it_refuses(axes: Axes) -> None:
    axes.errorbar(X, X, xerr=1, yerr=1)
    with pytest.raises(ValueError, match="error bars along both axes"):
        figure_panels(axes.figure)
    axes.clear()
    axes.bar(X, X, yerr=1)
    with pytest.raises(ValueError, match="bars with error bars"):
        figure_panels(axes.figure)


def test_a_steppers_curves_with_their_values() -> None:
    steps = {w: {"loss": {"moving": [0, w], "still": [1 / 3, math.inf]}} for w in (1.0, 2.0)}
    assert stepper_panels(Stepper("w", [0, 1], steps, xlabel="x", caption="c")) == [
        {
            "title": "loss",
            "x": "x",
            "y": "loss",
            "at": [0, 1],
            "series": [
                {"name": "moving, w = 1", "y": [0, 1]},
                {"name": "moving, w = 2", "y": [0, 2]},
                {"name": "still", "y": [0.3333, None]},
            ],
        }
    ]
