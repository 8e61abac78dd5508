"""The bibliography: whatever is cited is there, and whatever is there is cited and can be found."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
from pybtex.database import Entry, parse_file

from course_losses.evidence import MIME
from tools.notebooks import ROOT, notebooks

ENTRIES: dict[str, Entry] = dict(parse_file(str(ROOT / "book" / "references.bib")).entries)
every_entry = pytest.mark.parametrize("key", ENTRIES)


def text_of(path: Path) -> str:
    """A page, or the text of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text


NOTEBOOKS = list(notebooks(ROOT / folder for folder in ("book", "exercises", "solutions")))
PAGES = [*NOTEBOOKS, *sorted((ROOT / "book").rglob("*.md"))]


@cache
def cited() -> frozenset[str]:
    """The keys that pages cite."""
    roles = re.findall(r"\{cite:\w+\}`([^`]+)`", "\n".join(map(text_of, PAGES)))
    return frozenset(key.strip() for role in roles for key in role.split(","))


@cache
def sources() -> tuple[tuple[str, str], ...]:
    """The works that docstrings and claims name: the words before a year, and the year."""
    modules = sorted((ROOT / "course_losses").glob("*.py"))
    names = [
        paragraph
        for module in modules
        for paragraph in re.findall(r"Source:\n((?: {8}.+\n)+)", module.read_text(encoding="utf-8"))
    ]
    names += [
        output["data"][MIME]["source"]
        for notebook in NOTEBOOKS
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if MIME in output.get("data", {})
    ]
    years = r"([^;:()]+)\((\d{4})\)"
    return tuple(found for name in names for found in re.findall(years, " ".join(name.split())))


def is_named(entry: Entry, words: str, year: str) -> bool:
    surname = entry.persons["author"][0].rich_last_names[-1]
    return entry.fields["year"] == year and str(surname) in words


def test_pages_cite_what_the_bibliography_has() -> None:
    assert len(cited()) > 100
    assert cited() - set(ENTRIES) == set(), "add it to book/references.bib"


def test_docstrings_and_claims_name_what_the_bibliography_has() -> None:
    assert len(sources()) > 100
    missing = [
        f"{words.strip()} ({year})"
        for words, year in sources()
        if not any(is_named(entry, words, year) for entry in ENTRIES.values())
    ]
    assert missing == [], "add it to book/references.bib"


@every_entry
def test_an_entry_is_cited_or_named(key: str) -> None:
    named = any(is_named(ENTRIES[key], words, year) for words, year in sources())
    assert key in cited() or named, "no page cites it, and no docstring or claim names it"


@every_entry
def test_an_entry_can_be_found(key: str) -> None:
    fields = ENTRIES[key].fields
    assert fields["title"]
    assert int(fields["year"]) < 1900 or {"doi", "url", "isbn"} & set(fields)
    if "doi" in fields:
        assert re.fullmatch(r"10\.\d{4,9}/\S+", fields["doi"])
    if "url" in fields:
        assert re.fullmatch(r"https://[\w.-]+/\S+", fields["url"])


def test_no_two_entries_are_the_same_work() -> None:
    titles = [re.sub(r"\W", "", entry.fields["title"]).lower() for entry in ENTRIES.values()]
    assert sorted(titles) == sorted(set(titles))
    places = [entry.fields.get("doi", key) for key, entry in ENTRIES.items()]
    assert len(places) == len(set(places))
