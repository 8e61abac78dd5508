"""The book on paper: the built pages in one document, printed by Chromium.

One document rather than one for each page, so that links lead to other chapters, the outline holds
the whole book and the pages count through. Questions keep their answers for the chapter's end.
Hidden code stays hidden, and a figure's data with it: the picture they make is printed.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag
from playwright.sync_api import Browser, Page
from pypdf import PdfReader, PdfWriter
from pypdf.generic import DictionaryObject, NameObject, TextStringObject

ROOT = Path(__file__).resolve().parent.parent
TEXT_WIDTH = 658  # CSS pixels between the margins of A4 that course.css sets
WORDS_FOR = ("for", "aria-labelledby", "aria-describedby", "headers")

# Formulas and tables that are wider than the page get smaller, as a whole.
FIT = """() => {
    const wide = [...document.querySelectorAll('mjx-container[display], table')].map(e => {
        const width = Math.max(e.scrollWidth, e.getBoundingClientRect().width);
        return [e, e.parentElement.clientWidth / width];
    });
    for (const [e, share] of wide) if (share > 0 && share < 0.999) e.style.zoom = share;
}"""
HEADINGS = """() => [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
    .map(heading => heading.innerText.replace(/\\s+/g, ' ').trim())"""
NUMBER = """pages => {
    for (const row of document.querySelectorAll('.paper-contents a'))
        row.lastElementChild.textContent = pages[row.getAttribute('href').slice(1)] ?? '';
}"""


class Entry(NamedTuple):
    """A line of the contents: a page of the site, or a part, which has none."""

    title: str
    level: int
    page: str = ""

    @property
    def id(self) -> str:
        return slug(self.page or f"part/{self.title}")


def slug(text: str) -> str:
    return re.sub(r"\W+", "-", text).lower()


def table_of_contents(toc: dict[str, Any]) -> Iterator[Entry]:
    yield Entry(toc.get("title", ""), 1, toc["root"])
    for part in toc["parts"]:
        yield Entry(part["caption"], 1)
        yield from chapters(part["chapters"], 2)


def chapters(files: Sequence[dict[str, Any]], level: int) -> Iterator[Entry]:
    for file in files:
        yield Entry(file.get("title", ""), level, file["file"])
        yield from chapters(file.get("sections", []), level + 1)


def assemble(site: Path, entries: Sequence[Entry], title: str, version: str) -> str:
    """One document of the title, the contents and the pages."""
    soups = {
        entry.page: BeautifulSoup(
            (site / f"{entry.page}.html").read_text(encoding="utf-8"), "html.parser"
        )
        for entry in entries
        if entry.page
    }
    lines, bodies = [], []
    for entry in entries:
        if entry.page:
            article = chapter(soups[entry.page], site, entry, set(soups))
            body, name = str(article), entry.title or article.h1.get_text()
        else:
            name = entry.title
            body = f'<h1 class="paper-part" id="{entry.id}" aria-level="1">{name}</h1>'
        bodies.append(body)
        lines.append(
            f'<li class="level-{entry.level}"><a href="#{entry.id}"><span>{name}</span>'
            "<span></span></a></li>"
        )
    first = next(iter(soups.values()))
    validated = first.find(string=re.compile("^Last validated"))
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">'
        f"<title>{title}</title>{head(soups, site)}</head>"
        '<body class="paper"><header class="paper-title">'
        f'<p class="paper-name">{title}</p>'
        "<p>A course that computes everything it says</p>"
        f"<p>Version {version}. {validated}. Code: BSD 3-Clause; text and figures: CC BY 4.0.</p>"
        '</header><nav class="paper-contents"><h1 aria-level="1">Contents</h1>'
        f"<ul>{''.join(lines)}</ul></nav><main>{''.join(bodies)}</main></body></html>"
    )


def head(soups: dict[str, BeautifulSoup], site: Path) -> str:
    """Style sheets, and MathJax as it is set up on the first page that loads it."""
    page, soup = next(
        ((page, soup) for page, soup in soups.items() if soup.find("script", src=is_mathjax)),
        next(iter(soups.items())),
    )
    found = soup.find_all("link", rel="stylesheet")
    for script in soup.find_all("script"):
        if is_mathjax(script.get("src")) or "window.MathJax" in script.get_text():
            found.append(script)
    for tag in found:
        for name in ("href", "src"):
            if name in tag.attrs:
                tag[name] = address(site, page, str(tag[name]))
    return "".join(map(str, found))


def is_mathjax(source: str | None) -> bool:
    return "mathjax" in (source or "")


def address(site: Path, page: str, link: str) -> str:
    path = unquote(urlsplit(link).path)
    return ((site / page).parent / path).resolve().as_uri()


def chapter(soup: BeautifulSoup, site: Path, entry: Entry, pages: set[str]) -> Tag:
    """The page's article, with names of its own in a document of many pages."""
    article = soup.find("article", class_="bd-article")
    assert isinstance(article, Tag)
    for screen_only in article.select("a.headerlink, .viewcode-link, details.figure-data"):
        screen_only.decompose()
    for box in article.select("details:not(.hide)"):
        box["open"] = ""
    for picture in article.find_all("img"):
        picture["src"] = address(site, entry.page, str(picture["src"]))
        del picture["loading"]
    answers_last(soup, article)
    for link in article.find_all("a", href=True):
        redirect(link, site, entry.page, pages)
    for tag in article.find_all(True):
        if "id" in tag.attrs:
            tag["id"] = f"{entry.id}.{tag['id']}"
        for name in WORDS_FOR:
            if name in tag.attrs:
                tag[name] = " ".join(f"{entry.id}.{word}" for word in str(tag[name]).split())
    for heading in article.find_all(re.compile(r"^h[1-6]$")):
        heading["aria-level"] = min(6, int(heading.name[1]) + entry.level - 1)
    if entry.title and article.h1:
        article.h1.insert(0, f"{entry.title}: ")
    article["id"] = entry.id
    return article


def redirect(link: Tag, site: Path, page: str, pages: set[str]) -> None:
    """To the same place in the document; what is not in it loses its link."""
    parts = urlsplit(str(link["href"]))
    if parts.scheme:
        return
    path = ((site / page).parent / unquote(parts.path)).resolve() if parts.path else site / page
    target = path.relative_to(site.resolve()).with_suffix("").as_posix() if parts.path else page
    if target in pages:
        link["href"] = f"#{slug(target)}" + (f".{parts.fragment}" if parts.fragment else "")
    else:
        del link["href"]


def answers_last(soup: BeautifulSoup, article: Tag) -> None:
    """Letters for the radio buttons, and the replies at the end of the chapter."""
    section = soup.new_tag("section", attrs={"class": "paper-answers"})
    section.append(soup.new_tag("h2", string="Answers to the questions"))
    for number, quiz in enumerate(article.select("fieldset.quiz"), start=1):
        if legend := quiz.legend:
            legend.insert(0, f"Question {number}. ")
        for letter, answer in zip("abcdefgh", quiz.select(".quiz-answer"), strict=False):
            for button in answer.find_all("input"):
                button.replace_with(soup.new_tag("span", string=letter))
            for reply in answer.select(".quiz-reply"):
                reply.insert(0, soup.new_tag("b", string=f"{number}{letter} "))
                section.append(reply.extract())
    if len(section.contents) > 1:
        article.append(section)


def page_numbers(reader: PdfReader) -> dict[str, int]:
    """Where each name stands, counted from 1."""
    numbers = {page.indirect_reference.idnum: n for n, page in enumerate(reader.pages, start=1)}
    return {
        name.lstrip("/"): numbers[destination.page.idnum]
        for name, destination in reader.named_destinations.items()
    }


def name_outline(pdf: Path, titles: Sequence[str]) -> None:
    """Chromium says a heading's words twice where a page ends at it, and joins its lines."""
    writer = PdfWriter(clone_from=pdf)
    lines = list(outline_lines(writer.root_object["/Outlines"]))
    for line, title in zip(lines, titles, strict=True):
        line[NameObject("/Title")] = TextStringObject(title)
    writer.write(pdf)


def outline_lines(above: DictionaryObject) -> Iterator[DictionaryObject]:
    line = above.get("/First")
    while line is not None:
        yield line.get_object()
        yield from outline_lines(line.get_object())
        line = line.get_object().get("/Next")


def print_document(page: Page, document: Path, target: Path) -> None:
    page.set_default_timeout(600_000)
    page.set_viewport_size({"width": TEXT_WIDTH, "height": 1000})
    page.emulate_media(media="print")
    page.goto(document.as_uri())
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.evaluate(FIT)
    options: dict[str, Any] = {"path": target, "outline": True, "tagged": True}
    options |= {"format": "A4", "print_background": True}
    page.pdf(**options)
    page.evaluate(NUMBER, page_numbers(PdfReader(target)))
    page.pdf(**options)
    name_outline(target, page.evaluate(HEADINGS))


def write_pdf(
    browser: Browser, site: Path, target: Path, version: str, entries: Sequence[Entry] = ()
) -> Path:
    """Prints the whole book, or only some entries of its contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    document = target.with_suffix(".html")
    html = assemble(site, entries or list(table_of_contents(toc)), config["title"], version)
    document.write_text(html, encoding="utf-8")
    context = browser.new_context(offline=True)
    print_document(context.new_page(), document, target)
    context.close()
    return target
