"""`check` in a notebook and in a terminal: the same criteria; the learner's state stays."""

import re
from pathlib import Path

import pytest
import torch
from grading.conftest import EXERCISES, ROOT
from grading.variants.tversky import DEFINITION, WRONG

from course_losses.grading import check
from course_losses.grading.exercise import find
from course_losses.grading.report import Report
from course_losses.grading.selfcheck import self_check


def names(source: str) -> dict[str, object]:
    found: dict[str, object] = {"__name__": "__main__"}
    exec(source, found)
    return found


def test_right_earns_all() -> None:
    report = Report("tversky", self_check("tversky", names(DEFINITION)))
    assert report.headline == "tversky: 10 of 10 points"


@pytest.mark.parametrize("source", list(WRONG.values())[::9])
def test_wrong_does_not(source: str) -> None:
    report = Report("tversky", self_check("tversky", names(source)))
    assert report.earned < 10


def test_a_usual_mistake_is_named() -> None:
    verdicts = self_check("tversky", names(WRONG["1 - (tp → (tp"]))
    assert "The loss is 1 minus the index" in verdicts[0].diagnosis


def test_public_messages_are_told_in_full() -> None:
    verdicts = self_check("tversky", names(WRONG["raises"]))
    assert verdicts[0].diagnosis == "ValueError was raised: no"


def test_nothing_defined_is_not_attempted() -> None:
    verdicts = self_check("tversky", {})
    assert {verdict.outcome for verdict in verdicts} == {"not attempted"}


def test_the_course_s_own_class_earns_nothing() -> None:
    source = DEFINITION + "\nTverskyLoss.__module__ = 'course_losses.segmentation'\n"
    verdicts = self_check("tversky", names(source))
    assert sum(verdict.earned for verdict in verdicts) == 0
    assert "here you write it yourself" in verdicts[0].diagnosis


def test_the_learner_s_state_stays(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    globals().update(names(DEFINITION))
    check("tversky")
    assert torch.equal(torch.rand(2), expected)
    assert torch.get_default_dtype() == torch.float32
    assert "10 of 10 points" in capsys.readouterr().out


def test_html_is_an_accessible_table_of_the_same_words() -> None:
    report = Report("tversky", self_check("tversky", names(WRONG["raises"])))
    page = report.html()
    assert page.count('scope="row"') == len(report.verdicts)
    assert (page.count("✗"), page.count("–")) == (5, 2)
    assert page.count('scope="col"') == 3
    assert "<caption" in page
    words = re.sub(r"<[^>]+>", " ", page)
    for verdict in report.verdicts:
        assert verdict.title in words
        assert verdict.diagnosis in words.replace("&#39;", "'")


def test_html_of_a_hostile_message_is_harmless() -> None:
    source = WRONG["raises"].replace("'no'", "'<script>alert(1)</script>'")
    assert "<script>" not in Report("tversky", self_check("tversky", names(source))).html()


def test_the_rubric_beside_the_notebook_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("test_tversky.py", "cases.json"):
        (tmp_path / name).write_bytes((EXERCISES["tversky"].folder / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert find("tversky").folder == tmp_path
    assert Report("tversky", self_check("tversky", names(DEFINITION))).earned == 10


def test_found_from_the_solutions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT / "solutions")
    assert find("tversky").folder == EXERCISES["tversky"].folder


def test_an_unknown_exercise_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"No exercise is called 'tverski'.*tversky"):
        check("tverski")
