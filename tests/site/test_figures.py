"""Below a figure its data, as a file and as a table; on a phone its words stay readable."""

import base64
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from axe_playwright_python.base import AXE_SCRIPT
from PIL import Image
from playwright.sync_api import Browser

from tests.site.conftest import Build
from tests.site.test_pages import barriers, overflow
from tools.notebooks import ROOT, notebooks, read

TWO_PANELS = [
    {
        "title": "left",
        "x": "step",
        "y": "error",
        "series": [
            {"name": "a < b", "x": [0, 10], "y": [-0.5, 1], "low": [-1, 0], "high": [0.25, 2]},
            {"name": "chance, 1/K", "y": [0.1]},
        ],
    },
    {
        "title": "right",
        "x": "step",
        "y": "weight",
        "series": [{"name": "cloud", "x": [1, 1], "y": [2, 3]}],
    },
]
STEPPER = [
    {
        "title": "loss",
        "x": "x",
        "y": "loss",
        "at": list(range(40)),
        "series": [{"name": "a, δ = 1", "y": [*range(39), None], "every": 2}],
    }
]


def picture(width: int) -> str:
    packed = io.BytesIO()
    Image.new("RGB", (width, 500), "orange").save(packed, "PNG")
    return base64.b64encode(packed.getvalue()).decode()


def cell(name: str, data: dict[str, str], panels: list[dict[str, Any]] | None) -> Any:
    shown = nbformat.v4.new_output("display_data", data=data)
    if panels is not None:
        shown.metadata["figure"] = json.dumps(panels)
    code = nbformat.v4.new_code_cell("1", id=name, outputs=[shown], execution_count=1)
    code.metadata = nbformat.from_dict({"mystnb": {"image": {"alt": "an orange rectangle"}}})
    return code


@pytest.fixture
def page(small_book: Build) -> Path:
    figure = {"image/png": picture(900), "text/plain": "<Figure>"}
    cells = [
        nbformat.v4.new_markdown_cell("# Figures"),
        cell("two", figure, TWO_PANELS),
        cell("scene", {"image/png": picture(400)}, []),
        cell("stepper", {"text/html": '<figure class="stepper">curves</figure>'}, STEPPER),
        cell("older", figure, None),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata = nbformat.from_dict({"language_info": {"name": "python"}})
    said, folder = small_book({"figures.ipynb": nbformat.writes(notebook)})
    assert "WARNING" not in said
    assert "ERROR" not in said
    return folder / "figures.html"


def rows(page: Path, name: str) -> list[list[str]]:
    with (page.parents[1] / "_data" / name).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


def test_figures_on_a_page(page: Path, browser: Browser) -> None:
    files = {path.name for path in (page.parents[1] / "_data").iterdir()}
    assert files == {"figures-two.csv", "figures-stepper.csv"}
    assert rows(page, "figures-two.csv") == [
        ["panel", "series", "step", "y", "low", "high"],
        ["left: error", "a < b", "0", "-0.5", "-1", "0.25"],
        ["left: error", "a < b", "10", "1", "0", "2"],
        ["left: error", "chance, 1/K", "", "0.1", "", ""],
        ["right: weight", "cloud", "1", "2", "", ""],
        ["right: weight", "cloud", "1", "3", "", ""],
    ]
    head, first, *_, last = rows(page, "figures-stepper.csv")
    assert head == ["panel", "series", "x", "loss"]
    assert first == ["loss", "a, δ = 1", "0", "0"]
    assert last == ["loss", "a, δ = 1", "39", ""]

    context = browser.new_context(viewport={"width": 390, "height": 900}, color_scheme="light")
    tab = context.new_page()
    tab.goto(page.as_uri())
    below = tab.locator("details.figure-data")
    assert below.count() == 2
    assert [tab.locator(f"#cell-{name} details").count() for name in ("scene", "older")] == [0, 0]
    two, stepper = below.all()
    assert not two.get_by_role("table").first.is_visible()
    two.locator("summary").focus()
    tab.keyboard.press("Enter")
    left, right = two.get_by_role("table").all()
    assert left.locator("caption").inner_text() == "left: error"
    assert [row.split("\t") for row in left.locator("tr").all_inner_texts()] == [
        ["step", "a < b", "chance, 1/K"],
        ["0", "−0.5 [−1,\u00a00.25]", ""],
        ["10", "1 [0,\u00a02]", ""],
        ["all", "", "0.1"],
    ]
    assert right.locator("tr").all_inner_texts() == [
        "step\tweight\tseries",
        "1\t2\tcloud",
        "1\t3\tcloud",
    ]
    assert left.locator("th[scope=col]").count() == 3
    assert left.locator("th[scope=row]").count() == 3
    assert two.locator("p").inner_text() == "figures-two.csv, 5 rows."

    stepper.locator("summary").click()
    assert stepper.get_by_role("table").count() == 0
    said = "figures-stepper.csv, 40 rows, of long series each second point."
    assert stepper.locator("p").inner_text() == said
    with tab.expect_download() as download:
        stepper.get_by_role("link").click()
    assert download.value.suggested_filename == "figures-stepper.csv"
    file = page.parents[1] / "_data" / "figures-stepper.csv"
    assert Path(download.value.path()).read_bytes() == file.read_bytes()

    frame = tab.locator("#cell-two .figure-frame")
    tab.evaluate("() => dispatchEvent(new Event('resize'))")
    tab.wait_for_function("e => e.tabIndex === 0", arg=frame.element_handle())
    image = frame.locator("img")
    assert image.bounding_box()["width"] == 468  # type: ignore[index]
    assert frame.bounding_box()["width"] < 390  # type: ignore[index]
    assert tab.locator("#cell-scene img").bounding_box()["width"] < 390  # type: ignore[index]
    assert overflow(tab) == []
    tab.evaluate(AXE_SCRIPT)
    assert barriers(tab) == []
    context.close()


def test_every_figure_that_carries_numbers_offers_them_as_a_file(site: Path) -> None:
    missing, found = [], 0
    for path in notebooks(ROOT / folder for folder in ("book", "exercises", "solutions")):
        page = site / path.relative_to(ROOT).with_suffix(".html")
        outputs = [output for cell in read(path).cells for output in cell.get("outputs", [])]
        figures = sum(o.get("metadata", {}).get("figure", "[]") != "[]" for o in outputs)
        links = re.findall(r'href="([^"]+/_data/[^"]+)" download', page.read_text("utf-8"))
        found += len(links)
        files = {(page.parent / link).resolve() for link in links}
        if len(files) != figures or not all(file.stat().st_size for file in files):
            missing.append(f"{page.relative_to(site)}: {figures} figures, {len(files)} files")
    assert missing == []
    assert found > 100
