"""What the book's own extensions promise an author: what they render, and what they refuse."""

import re
import zlib
from pathlib import Path

import pytest
from playwright.sync_api import Browser

import course_losses
from tests.site.conftest import Build

QUIZ = """
:::{quiz}
Which constant minimises [the](plain.md) sum $\\sum |y - c|$?

```python
HuberLoss(delta=1.0)
```

- [ ] The *mean*
  That is what the squared error asks for.
- [x] The [median](plain.md)
  Every target pulls with the same force.

  So the pulls balance in the middle.
:::
"""


def test_faulty_pages_fail_the_build_and_are_named(small_book: Build) -> None:
    said, _ = small_book(
        {
            "faults.md": """# Faults

![](_static/favicon.svg)

[nowhere](nowhere.md) {term}`no such term` {cite:p}`nobody1900` {py:class}`.NoSuchLoss`

:::{quiz}
No reply?

- [x] Yes
- [ ] No
  A reply.
:::

:::{quiz}
Nothing right?

- [ ] One
  A reply.
- [ ] Two
  A reply.
:::

:::{quiz}
Only one answer?

- [x] One
  A reply.
:::
"""
        }
    )
    assert "finished with problems" in said or "non-zero exit code" in said
    for fault in (
        "figure without alternative text",
        "nowhere.md",
        "no such term",
        "nobody1900",
        "NoSuchLoss",
        "the answer 'Yes' has no reply",
        "a quiz needs at least one right answer",
        "a quiz needs a question and at least two answers",
    ):
        assert fault in said, fault


@pytest.fixture
def sound(small_book: Build) -> Path:
    said, folder = small_book(
        {
            "plain.md": "# Plain\n\n![A curve on a blue tile](_static/favicon.svg)\n",
            "quiz.md": f"# Quiz\n{QUIZ}",
            "code.md": "# Code\n\n```python\nfrom course_losses import HuberLoss\n```\n\n"
            "```python\nHuberLoss, NoSuchLoss\n```\n",
            "reference.md": "# Reference\n\n```{eval-rst}\n"
            ".. automodule:: course_losses.regression\n   :members:\n```\n",
        }
    )
    assert "WARNING" not in said
    assert "ERROR" not in said
    return folder


def test_sound_pages(sound: Path, browser: Browser) -> None:
    plain, quiz, code, reference = (
        (sound / f"{name}.html").read_text() for name in ("plain", "quiz", "code", "reference")
    )
    assert "tex-chtml.js" not in plain, "mathematics is loaded where there is none"
    assert "tex-chtml.js" in quiz
    ends = r'<span class="math-end"><span class="math [^>]*>[^<]*</span>\?</span>'
    assert re.search(ends, quiz), "a line may begin with the question mark"
    assert "fontawesome.js" not in plain
    assert "THEBE" not in plain + quiz + code + reference

    entry = 'href="reference.html#course_losses.regression.HuberLoss">HuberLoss</a>'
    assert code.count(entry) == 2
    assert "NoSuchLoss</a>" not in code

    text = re.sub("<[^>]+>", "", reference)
    assert re.search(r"HuberLoss\(delta=1\.0, reduction='mean'\)", text)
    assert re.search(r"MSELoss\(reduction='mean'\)", text)
    assert "forward(pred, target)" in text
    assert "*args" not in text
    assert "residual" not in re.findall(r'id="course_losses\.regression\.(\w+)"', reference)

    page = browser.new_page()
    page.goto((sound / "quiz.html").as_uri())
    page.evaluate("() => MathJax.startup.promise")
    group = page.get_by_role("group", name="Which constant minimises the")
    wrong, right = group.get_by_role("radio").all()
    replies = group.locator(".quiz-reply")
    assert [reply.is_visible() for reply in replies.all()] == [False, False]
    wrong.focus()
    page.keyboard.press("Space")
    assert [reply.is_visible() for reply in replies.all()] == [True, False]
    assert replies.first.inner_text().startswith("Not quite.")
    page.keyboard.press("ArrowDown")
    assert right.is_checked()
    assert [reply.is_visible() for reply in replies.all()] == [False, True]
    assert replies.last.inner_text().startswith("Right.")
    assert "balance in the middle" in replies.last.inner_text()
    group.get_by_text("The mean").click()
    assert wrong.is_checked()
    page.close()


def inventory(site: Path) -> list[str]:
    lines = (site / "objects.inv").read_bytes().split(b"\n", 4)
    return [line.split()[0] for line in zlib.decompress(lines[4]).decode().splitlines()]


def test_every_public_name_has_an_entry_in_the_reference(site: Path) -> None:
    documented = {name.rpartition(".")[2] for name in inventory(site) if "course_losses." in name}
    missing = [name for name in course_losses.__all__ if name not in documented]
    assert missing == [], "write book/api/MODULE.md and list it in _toc.yml"


def test_the_root_leads_to_the_first_page(site: Path) -> None:
    assert 'url=book/index.html"' in (site / "index.html").read_text()


def test_source_links_show_the_code(site: Path) -> None:
    source = (site / "_modules" / "course_losses" / "regression.html").read_text()
    assert "class" in source
    assert 'id="HuberLoss"' in source
    decorated = (site / "_modules" / "course_losses" / "calibration.html").read_text()
    assert 'id="TemperatureScaling.fit"' in decorated
    assert {path.name for path in (site / "_modules").iterdir()} == {"course_losses", "index.html"}
