"""A verdict is only worth what its interval and its criterion are worth."""

import json

import pytest
from scipy import stats

from course_losses.evidence import MIME, Claim

SEEDS = range(1000, 1010)
UP = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]  # mean 5.5, interval [3.334, 7.666]
DOWN = [-x for x in UP]
NONE = [1.0, -1.0] * 5


def claim(**changes) -> Claim:
    facts = {
        "id": "robust",
        "statement": "It resists.",
        "source": "Someone (2001), Eq. (1)",
        "data": "ten coins",
        "effect": "error of A minus error of B, points",
        "seeds": SEEDS,
    }
    return Claim(**{**facts, **({"below": 0.0} if not changes else {}), **changes})


def test_interval_by_hand():
    """Mean 11/2; variance 55/6; half-width t(9, 0.975) sqrt(55/60) = 2.2622 * 0.9574 = 2.166."""
    (result,) = claim(below=0.0).judge({"always": UP}).results
    assert (result.mean, result.low, result.high) == (5.5, 3.3, 7.7)
    assert str(result) == "+5.5 [+3.3, +7.7]"


def test_interval_is_scipys_paired_t():
    a = [3.1, 4.1, 5.9, 2.6, 5.3, 5.8, 9.7, 9.3, 2.3, 8.4]
    b = [2.7, 1.8, 2.8, 1.8, 2.8, 4.5, 9.0, 4.5, 2.3, 5.3]
    (result,) = (
        claim(above=0.0).judge({"always": [x - y for x, y in zip(a, b, strict=True)]}).results
    )
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx(expected, abs=0.05)
    assert result.holds


@pytest.mark.parametrize(
    ("bounds", "differences", "holds"),
    [
        ({"below": 0.0}, DOWN, True),
        ({"below": 0.0}, UP, False),
        ({"below": 0.0}, NONE, False),
        ({"above": 0.0}, UP, True),
        ({"above": 0.0}, DOWN, False),
        ({"above": 0.0}, NONE, False),
        ({"below": 7.66}, UP, False),  # the upper end is 7.6659: compared unrounded
        ({"below": 7.67}, UP, True),
        ({"above": 3.33}, UP, True),  # the lower end is 3.3341
        ({"above": 3.34}, UP, False),
        ({"above": 3.0, "below": 8.0}, UP, True),
        ({"above": 5.0, "below": 8.0}, UP, False),
        ({"above": 3.0, "below": 6.0}, UP, False),
    ],
)
def test_the_whole_interval_must_keep_the_bounds(bounds, differences, holds):
    assert claim(**bounds).judge({"always": differences}).results[0].holds is holds


@pytest.mark.parametrize(
    ("differences", "text"),
    [
        ({"by day": DOWN}, "replicates"),
        ({"by day": DOWN, "at night": DOWN}, "replicates"),
        ({"by day": DOWN, "at night": NONE}, "only when by day"),
        ({"by day": UP, "at night": DOWN, "at noon": DOWN}, "only when at night, or at noon"),
        ({"by day": NONE}, "does not replicate"),
        ({"by day": UP, "at night": NONE}, "does not replicate"),
    ],
)
def test_verdict(differences, text):
    assert claim().judge(differences).text == text


def test_digits_follow_the_interval_and_zero_has_no_sign():
    small = [1e-5 * x for x in NONE]
    (result,) = claim().judge({"always": small}).results
    assert str(result) == "+0.0000000 [−0.0000075, +0.0000075]"
    (below,) = claim().judge({"always": [x - 1e-9 for x in NONE]}).results
    assert str(below) == "+0.00 [−0.75, +0.75]"
    (same,) = claim().judge({"always": [-0.25] * 10}).results
    assert str(same) == "−0.250 [−0.250, −0.250]"
    assert same.holds


@pytest.mark.parametrize(
    ("bounds", "shown"),
    [
        ({"below": 7.67}, "+5.500 [+3.334, +7.666]"),  # the ends: 3.3341 and 7.6659
        ({"below": 7.666}, "+5.5000 [+3.3341, +7.6659]"),
        ({"below": 7.66}, "+5.5 [+3.3, +7.7]"),
        ({"below": 7.7}, "+5.50 [+3.33, +7.67]"),
        ({"above": 3.3}, "+5.50 [+3.33, +7.67]"),
        ({"above": 3.34}, "+5.5 [+3.3, +7.7]"),
        ({"above": 3.0, "below": 7.7}, "+5.50 [+3.33, +7.67]"),
    ],
)
def test_rounding_leaves_each_end_on_its_side_of_the_bound(bounds, shown):
    """Else "+0.13 [+0.00, +0.26]" fails and nobody sees why."""
    assert str(claim(**bounds).judge({"always": UP}).results[0]) == shown


def test_an_interval_ends_where_the_effect_does():
    shares = [1.0] * 9 + [0.8]  # mean 0.98, interval 0.98 ± 0.0452
    (free,) = claim(above=0.9).judge({"always": shares}).results
    assert str(free) == "+0.980 [+0.935, +1.025]"
    (share,) = claim(above=0.9, limits=(0, 1)).judge({"always": shares}).results
    assert str(share) == "+0.980 [+0.935, +1.000]"
    (missed,) = claim(above=-0.1, limits=(0, 1)).judge({"always": [1 - x for x in shares]}).results
    assert str(missed) == "+0.020 [+0.000, +0.065]"


def test_an_effect_beyond_its_limits_is_refused():
    with pytest.raises(ValueError, match=r"'always': 1\.2 is outside the limits"):
        claim(above=0.9, limits=(0, 1)).judge({"always": [1.0] * 9 + [1.2]})


def test_criterion_is_told_before_the_run():
    shown = claim(above=-0.5, below=2.0)._repr_markdown_()
    assert "It resists. Source: Someone (2001), Eq. (1)." in shown
    assert "The 95 % interval of the mean lies above −0.5 and below 2." in shown
    assert "one difference for each of 10 seeds, 1000 to 1009." in shown


def test_the_output_holds_the_ledgers_entry():
    verdict = claim().judge({"by day": DOWN, "p|q": NONE})
    bundle = verdict._repr_mimebundle_()
    assert bundle[MIME] == json.loads(json.dumps(bundle[MIME]))
    assert bundle[MIME]["claim"] == "robust"
    assert bundle[MIME]["criterion"] == "the 95 % interval of the mean lies below 0"
    assert bundle[MIME]["seeds"] == list(SEEDS)
    assert bundle[MIME]["verdict"] == "only when by day"
    assert bundle[MIME]["results"][0] == {
        "condition": "by day", "mean": -5.5, "low": -7.7, "high": -3.3, "places": 1,
        "holds": True, "shown": "−5.5 [−7.7, −3.3]",
    }  # fmt: skip
    assert "| by day | −5.5 [−7.7,\u00a0−3.3] | yes |" in bundle["text/markdown"]
    assert "| p&#124;q |" in bundle["text/markdown"]
    assert bundle["text/markdown"].startswith("*It resists.*\n")
    assert "**Verdict: only when by day.**" in bundle["text/markdown"]
    assert bundle["text/plain"].endswith("robust: only when by day")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"below": None}, "give below, above or both"),
        ({"below": 1.0, "above": 1.0}, r"above \(1\) must be less than below \(1\)"),
        ({"below": 0.0, "seeds": range(9)}, "at least 10 different ones"),
        ({"below": 0.0, "seeds": [1] * 20}, "at least 10 different ones"),
        ({"below": 0.0, "seeds": [*range(10), 3]}, "at least 10 different ones"),
    ],
)
def test_a_claim_that_nothing_could_fail_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        claim(**changes)


@pytest.mark.parametrize(
    ("differences", "message"),
    [
        ({}, "at least one condition"),
        ({"by day": UP[:9]}, "'by day' has 9 differences for 10 seeds"),
        ({"by day": [*UP[:9], float("nan")]}, "'by day' has 1 differences that are not finite"),
    ],
)
def test_bad_differences_are_refused(differences, message):
    with pytest.raises(ValueError, match=message):
        claim().judge(differences)
