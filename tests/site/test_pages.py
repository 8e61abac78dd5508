"""Every page of the book in a real browser, from disk and from a server, with the network cut."""

import csv
import gzip
import json
import random
import re
from collections.abc import Iterator
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page, expect

from course_losses import CATALOGUE

WIDTHS = (1280, 390)
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# axe reads a page in each theme and at each width; its two runs are one of these, by turns.
TURNS = ([("light", 1280), ("dark", 390)], [("dark", 1280), ("light", 390)])
# What axe need not read, three quarters of a chapter: the glyphs of formulas, hidden from assistive
# technology in favour of the MathML beside them; and of highlighted code all but one span a colour.
THIN = """() => {
    document.querySelectorAll('mjx-math').forEach(glyphs => glyphs.remove());
    const seen = new Set();
    for (const span of document.querySelectorAll('pre span[class]')) {
        if (seen.has(span.className)) span.replaceWith(...span.childNodes);
        seen.add(span.className);
    }
}"""
# The theme makes what scrolls focusable a moment after the window's size has changed.
SETTLED = """() => [
    ...document.querySelectorAll('pre, .pst-scrollable-table-container')
].every(e => (e.tabIndex === 0) ===
    (e.scrollWidth > e.clientWidth || e.scrollHeight > e.clientHeight))"""


def pages(site: Path) -> list[Path]:
    """All but the theme's templates, the root's redirect, and the many pages of source but two."""
    found = sorted(site.rglob("*.html"))
    found = [p for p in found if "_static" not in p.parts and p != site / "index.html"]
    source = [p for p in found if "_modules" in p.parts]
    assert len(found) > len(source) > 2
    return [p for p in found if p not in source[2:]]


class Watched:
    """A page of the browser that takes down everything that should not happen."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.loaded: set[str] = set()
        page.on("console", self.console)
        page.on("pageerror", lambda error: self.complaints.append(f"script error: {error}"))
        page.on("requestfailed", self.failed)
        page.on("response", self.response)
        page.on("request", self.request)

    def console(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console {message.type}: {message.text}")

    def failed(self, request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # what was still under way when a page was left
            self.complaints.append(f"failed: {request.url}")

    def response(self, response: Any) -> None:
        if response.status >= 400:
            self.complaints.append(f"status {response.status}: {response.url}")

    def request(self, request: Any) -> None:
        self.loaded.add(request.url)
        if not request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
            self.complaints.append(f"leaves the machine: {request.url}")

    def open(self, url: str) -> None:
        self.loaded.clear()
        self.page.emulate_media(color_scheme="light")
        self.page.goto(url)
        self.page.wait_for_load_state()
        self.page.evaluate("() => window.MathJax?.startup?.promise")


@pytest.fixture
def watched(browser: Browser) -> Iterator[Watched]:
    context = browser.new_context(color_scheme="light", reduced_motion="reduce")
    yield Watched(context.new_page())
    context.close()


def mathematics(page: Page) -> list[str]:
    wrong = page.evaluate(
        """() => [...document.querySelectorAll('.math')]
            .filter(e => !e.querySelector('mjx-container mjx-assistive-mml') ||
                         e.querySelector('mjx-merror, [data-mjx-error]'))
            .map(e => e.textContent.slice(0, 80))"""
    )
    return [f"mathematics not rendered: {text}" for text in wrong]


def overflow(page: Page) -> list[str]:
    width, room = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
    return [f"{width} px wide on a screen of {room}"] if width > room else []


@cache
def weight(file: Path) -> int:
    return len(gzip.compress(file.read_bytes()))


def heavy(loaded: set[str]) -> list[str]:
    """More than a megabyte over the wire, with all that the page loads."""
    files = [Path(unquote(urlsplit(url).path)) for url in loaded if url.startswith("file:")]
    total = sum(weight(file) for file in files if file.is_file())
    return [f"weighs {total} bytes"] if total > 1_000_000 else []


def barriers(page: Page) -> list[str]:
    found = page.evaluate(
        "options => axe.run(options).then(result => result.violations)",
        {
            "runOnly": {"type": "tag", "values": AXE_TAGS},
            "resultTypes": ["violations"],
            "preload": False,
        },
    )
    return [
        f"axe {violation['id']}: {node['html'][:150]}"
        for violation in found
        for node in violation["nodes"]
    ]


def test_every_page_from_disk(site: Path, watched: Watched) -> None:
    page = watched.page
    found: list[str] = []
    formulas = 0
    for number, path in enumerate(pages(site)):
        watched.complaints.clear()
        watched.open(path.as_uri())
        formulas += page.locator("mjx-container").count()
        problems = mathematics(page) + heavy(watched.loaded)
        page.evaluate("() => document.querySelectorAll('details').forEach(e => e.open = true)")
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            problems += overflow(page)
        page.evaluate(THIN)
        page.evaluate(AXE_SCRIPT)
        for theme, width in TURNS[number % 2]:
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": 900})
            page.wait_for_selector(f"html[data-theme={theme}]")
            # The theme looks again at what scrolls when the window changes, and at no other time.
            page.evaluate("() => dispatchEvent(new Event('resize'))")
            page.wait_for_function(SETTLED)
            problems += [f"{theme}, {width} px: {barrier}" for barrier in barriers(page)]
        problems += watched.complaints
        found += [f"{path.relative_to(site)}: {problem}" for problem in problems]
    assert not found, "\n".join(found)
    assert formulas > 0


def test_the_watch_sees_each_kind_of_fault(tmp_path: Path, watched: Watched) -> None:
    bad = tmp_path / "bad.html"
    (tmp_path / "heavy.png").write_bytes(random.Random(0).randbytes(1_000_000))
    bad.write_text(
        "<title>Bad</title><img src='https://example.org/x.png'><img src='missing.png'>"
        "<img src=heavy.png>"
        "<p style='width:2000px;color:#eee'>pale and wide</p><span class='math'>\\(x^2\\)</span>"
        "<script>console.error('shouted'); undefined_name()</script>"
    )
    watched.open(bad.as_uri())
    watched.page.set_viewport_size({"width": 390, "height": 900})
    watched.page.evaluate(AXE_SCRIPT)
    seen = watched.complaints + mathematics(watched.page) + overflow(watched.page)
    seen += barriers(watched.page) + heavy(watched.loaded)
    for fault in (
        "weighs 1",
        "leaves the machine: https://example.org/x.png",
        "missing.png",
        "console error: shouted",
        "script error: undefined_name",
        "mathematics not rendered",
        "px wide on a screen of 390",
        "axe color-contrast",
        "axe image-alt",
        "axe html-has-lang",
        "axe landmark-one-main",
    ):
        assert any(fault in complaint for complaint in seen), fault


def test_pages_from_a_server(site: Path, served: str, watched: Watched) -> None:
    found: list[str] = []
    for path in pages(site)[::4]:
        watched.complaints.clear()
        watched.open(f"{served}/{path.relative_to(site)}")
        problems = [*watched.complaints, *mathematics(watched.page)]
        found += [f"{path.relative_to(site)}: {problem}" for problem in problems]
    assert not found, "\n".join(found)


def test_every_link_leads_somewhere(site: Path) -> None:
    """Pages, downloads, pictures, scripts and anchors, all of them relative."""
    texts = {path: path.read_text(encoding="utf-8") for path in site.rglob("*.html")}
    anchors = {path: set(re.findall(r'\bid="([^"]+)"', text)) for path, text in texts.items()}
    dead = []
    for path in pages(site):
        for link in set(re.findall(r'\b(?:href|src)="([^"]*)"', texts[path])):
            parts = urlsplit(unescape(link))
            if parts.scheme in {"http", "https", "mailto", "data"}:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            fragment = unquote(parts.fragment)
            if not target.is_file() or (
                fragment and target in anchors and fragment not in anchors[target]
            ):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_the_site_is_light(site: Path) -> None:
    assert sum(file.stat().st_size for file in site.rglob("*") if file.is_file()) < 40_000_000


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_home_shows_on_one_screen_what_to_expect_and_where_to_go(
    site: Path, watched: Watched, width: int, height: int
) -> None:
    page = watched.page
    page.set_viewport_size({"width": width, "height": height})
    watched.open((site / "book" / "index.html").as_uri())
    doors = page.locator(".doors a")
    assert [door.inner_text() for door in doors.all()] == ["Read", "Practise", "Teach"]
    lead = page.get_by_text("Learn to choose that one line of training code")
    live = page.locator("figure.stepper svg").first
    for part in (lead, live, page.get_by_role("slider"), *doors.all()):
        expect(part).to_be_in_viewport(ratio=1)


def test_hints_solutions_and_code_unfold_by_keyboard(site: Path, watched: Watched) -> None:
    for name, words in (
        ("exercises/tversky/tversky", "What you should see"),
        ("book/regression", "What you should find"),
        ("book/regression", "Show the code"),
    ):
        watched.open((site / f"{name}.html").as_uri())
        summary = watched.page.locator("summary").filter(has_text=words).first
        inside = summary.locator("xpath=following-sibling::*").first
        assert not inside.is_visible()
        summary.focus()
        watched.page.keyboard.press("Enter")
        expect(inside).to_be_visible()
        watched.page.keyboard.press("Space")
        expect(inside).to_be_hidden()
    assert watched.complaints == []


def test_downloads_by_keyboard(site: Path, served: str, watched: Watched) -> None:
    page = watched.page
    watched.open((site / "book" / "cards.html").as_uri())
    table = page.get_by_role("link", name="cards as a CSV file")
    table.focus()
    with page.expect_download() as cards:
        page.keyboard.press("Enter")
    assert cards.value.suggested_filename == "loss-cards.csv"
    rows = list(csv.DictReader(cards.value.path().read_text(encoding="utf-8").splitlines()))
    assert [row["Loss"] for row in rows] == list(CATALOGUE)

    watched.open(f"{served}/book/cards.html")
    page.get_by_role("button", name="Download this page").focus()
    page.keyboard.press("Enter")
    source = page.locator("a.btn-download-source-button")
    expect(source).to_be_visible()
    source.focus()
    with page.expect_download() as notebook:
        page.keyboard.press("Enter")
    assert notebook.value.suggested_filename == "cards.ipynb"
    assert json.loads(notebook.value.path().read_text(encoding="utf-8"))["nbformat"] == 4


def test_search_by_keyboard_from_disk(site: Path, watched: Watched) -> None:
    page = watched.page
    watched.open((site / "book" / "glossary.html").as_uri())
    page.keyboard.press("Control+k")
    page.keyboard.type("robust loss")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=robust+loss")
    first = page.locator("#search-results li a").first
    first.wait_for()
    first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/book/**")
    assert watched.complaints == []


def test_search_dialog_closes_with_escape(site: Path, watched: Watched) -> None:
    watched.open((site / "book" / "glossary.html").as_uri())
    dialog = watched.page.locator("#pst-search-dialog")
    watched.page.keyboard.press("Control+k")
    assert dialog.locator("input").is_visible() or watched.page.locator(".bd-search input:focus")
    watched.page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_stepper_by_keyboard(site: Path, watched: Watched) -> None:
    page = watched.page
    watched.open((site / "book" / "index.html").as_uri())
    slider = page.get_by_role("slider")
    label = page.locator("figure.stepper label")
    shown = page.locator("figure.stepper path.on").first
    slider.focus()
    assert label.inner_text().split() == ["β", "=", "4"]
    before = shown.get_attribute("d")
    spoken = slider.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowRight")
    assert label.inner_text().split() == ["β", "=", "8"]
    assert shown.get_attribute("d") != before
    assert slider.get_attribute("aria-valuetext") != spoken
    assert str(slider.get_attribute("aria-valuetext")).startswith("8: loss from")
    page.keyboard.press("End")
    assert label.inner_text().split() == ["β", "=", "16"]
    assert page.locator("figure.stepper path.on").count() == 2
    assert watched.complaints == []


def test_paper_is_light_whatever_the_screen_shows(site: Path, watched: Watched) -> None:
    page = watched.page
    watched.open((site / "book" / "glossary.html").as_uri())
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")
    page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert page.locator("html").get_attribute("data-theme") == "light"
    page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert page.locator("html").get_attribute("data-theme") == "dark"
