"""The two pictures of the course: what they show exists, and ``--pictures`` takes them afresh.

The overview's class of twelve is the one on the page for instructors, whose outputs are compared.
"""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from grading.conftest import ENABLE, ROOT, notebook
from grading.variants.tversky import DEFINITION, WRONG, edited
from playwright.sync_api import Browser, Page, expect

from course_losses.grading.sandbox import bubblewrap_fault

STATIC = ROOT / "book" / "_static"
HALF = {"width": 800, "height": 820}


def take(page: Page, name: str, wanted: bool) -> None:
    """The picture of what the window shows; the one in the book has to be as large."""
    picture = page.screenshot(animations="disabled")
    if wanted:
        (STATIC / name).write_bytes(picture)
    assert size((STATIC / name).read_bytes()) == size(picture), f"{name} is stale: make pictures"


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header."""
    assert png.startswith(b"\x89PNG")
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


@pytest.fixture
def wanted(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--pictures"))


def test_the_readme_shows_a_section_with_its_slider_and_an_exercise_in_the_dark(
    site: Path, browser: Browser, tmp_path: Path, wanted: bool
) -> None:
    section = browser.new_page(viewport=HALF, color_scheme="light", reduced_motion="reduce")
    section.goto((site / "book" / "regression.html").as_uri())
    section.evaluate("() => MathJax.startup.promise")
    section.evaluate("() => document.querySelector('#huber-s-loss').scrollIntoView()")
    shown = section.locator("#huber-s-loss")
    figure = shown.locator("figure.stepper").first
    for part in (
        shown.get_by_role("heading", name="Huber’s loss"),
        shown.locator("mjx-container").first,
        figure.locator("svg").first,
        figure.get_by_role("slider"),
    ):
        expect(part).to_be_in_viewport(ratio=1)

    exercise = browser.new_page(viewport=HALF, color_scheme="dark", reduced_motion="reduce")
    exercise.goto((site / "exercises" / "tversky" / "tversky.html").as_uri())
    exercise.wait_for_selector("html[data-theme=dark]")
    for part in (
        exercise.get_by_role("heading", level=1),
        exercise.get_by_text("Points", exact=True).first,
        exercise.get_by_text("# write your code here").first,
    ):
        expect(part).to_be_in_viewport(ratio=1)

    for name, page in (("left", section), ("right", exercise)):
        page.screenshot(path=tmp_path / f"{name}.png")
        page.close()
    both = tmp_path / "both.html"
    both.write_text(
        "<style>body { display: flex; gap: 16px; margin: 0 }</style>"
        "<img src=left.png><img src=right.png>"
    )
    together = browser.new_page(viewport={"width": 1616, "height": 820})
    together.goto(both.as_uri())
    take(together, "screenshot.png", wanted)
    together.close()


def hand_in(folder: Path, student: str, content: bytes, name: str = "tversky.ipynb") -> Path:
    (folder / student).mkdir(parents=True, exist_ok=True)
    (folder / student / name).write_bytes(content)
    return folder / student / name


@pytest.fixture
def class_of_twelve(tmp_path: Path) -> Path:
    """What the page for instructors says that its class handed in."""
    folder = tmp_path / "class"
    weighs = "self.alpha * fp + self.beta * fn"
    first = hand_in(folder, "gus", notebook("x = 1"))
    os.utime(first, (1, 1))
    for student, source in {
        "ada": DEFINITION,
        "ben": edited((weighs, "self.beta * fp + self.alpha * fn")),
        "chen": WRONG["mean of the images"],
        "dora": WRONG["1 - (tp → (tp"],
        "emil": edited(("tp = (pred", "while True: pass\n        tp = (pred")),
        "finn": "import os, torch\ntorch.allclose = lambda *a, **k: True\nos._exit(0)",
        "hana": HANA,
        "ivo": re.sub(r"\b(hits|false_alarms|misses|price|overlap)\b", r"my_\1", HANA),
        "lena": DEFINITION.replace("class TverskyLoss", "class Tversky"),
    }.items():
        hand_in(folder, student, notebook(source))
    hand_in(folder, "gus", notebook(DEFINITION), "tversky (1).ipynb")
    hand_in(folder, "kim", b"my solution, saved from the browser")
    hand_in(folder, "ada", b"{}", "essay.ipynb")
    hand_in(folder, "ben", b"remember", "notes.txt")
    names = "ada ben chen dora emil finn gus hana ivo jo kim lena"
    (tmp_path / "roster.csv").write_text("\n".join(["name", *names.split()]))
    return tmp_path


HANA = """
import torch
from torch import nn
class TverskyLoss(nn.Module):
    def __init__(self, alpha=0.5, beta=0.5, smooth=1.0):
        super().__init__()
        self.alpha, self.beta, self.smooth = alpha, beta, smooth
    def forward(self, pred, target):
        hits = torch.einsum("nchw,nchw->", pred, target)
        false_alarms = torch.sum(pred) - hits
        misses = torch.sum(target) - hits
        price = torch.stack([false_alarms * self.alpha, misses * self.beta])
        price = price.sum(dim=0) + hits
        overlap = (hits + self.smooth).div(price + self.smooth)
        return torch.ones_like(overlap).sub(overlap)
"""


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(text.strip().splitlines()))


def words(text: str) -> str:
    return " ".join(text.split())


def grade(folder: Path) -> str:
    """What the command says to the class in the folder."""
    command = Path(sys.executable).with_name("course-losses")
    where = ["--roster", folder / "roster.csv", "--out", folder / "grades"]
    ran = subprocess.run(
        [command, "grade", folder / "class", *where, "--timeout", "10"],
        cwd=ROOT,
        env={**os.environ, "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_page_for_instructors_shows_what_its_class_gets(
    class_of_twelve: Path, browser: Browser, wanted: bool
) -> None:
    if bubblewrap_fault():
        pytest.skip(ENABLE)
    told = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```text\n(.*?)```", told, re.DOTALL)
    (summary,) = (block for block in blocks if "Cases drawn from seed" in block)
    (table,) = (rows(block) for block in blocks if "ada,tversky,10,10," in block)
    (ignored,) = (rows(block) for block in blocks if block.startswith("file,reason"))
    (by_hand,) = (rows(block)[0] for block in blocks if block.startswith("kim,tversky,8,10"))
    (line,) = re.findall(r"student,exercise,score,comment\n(.+)\n", told)
    (alike,) = re.findall(r"> - (hana and ivo: \d+ statements)", told)
    out = class_of_twelve / "grades"
    (out / "records").mkdir(parents=True)
    (out / "records" / "seed.json").write_text(re.findall(r"seed (\d+)", summary)[0])

    said = grade(class_of_twelve)
    for part in re.findall(r"mean|\d\.\d+|\d+ [a-z]+", summary.split("Grades:")[0]):
        assert part in words(said)
    assert rows((out / "grades.csv").read_text().replace("than 10 s", "than 60 s")) == table
    listed = rows((out / "ignored.csv").read_text())
    assert [name for name, _ in listed] == [name for name, _ in ignored]
    for (_, reason), (_, shown) in zip(listed, ignored, strict=True):
        assert all(piece in reason for piece in shown.split("…, "))

    with (out / "overrides.csv").open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")
    grade(class_of_twelve)
    assert by_hand in rows((out / "grades.csv").read_text())

    page = browser.new_page(viewport={"width": 1140, "height": 1240}, color_scheme="light")
    page.goto((out / "index.html").as_uri())
    assert alike in page.inner_text("main")
    shown = re.findall(r"```\{image\} _static/overview.png\n:alt: (.*)\n", told)[0]
    for part in re.findall(r"mean [\d.]+ of \d+ points", shown):
        assert part in page.inner_text("main")
    take(page, "overview.png", wanted)
    page.close()
