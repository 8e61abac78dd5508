"""The notation page lists every letter and sign that the book's formulas use, where it is used."""

import json
import re
from pathlib import Path

import pytest

from tools.notebooks import ROOT, notebooks

CHAPTERS = list(notebooks([ROOT / "book"]))
PAGES = [*CHAPTERS, *notebooks([ROOT / "exercises", ROOT / "solutions"])]
NOTATION = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
GREEK = {
    *("alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta"),
    *("vartheta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau"),
    *("upsilon", "phi", "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda"),
    *("Xi", "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega"),
}
# What places, spaces or sizes signs, and has no meaning of its own.
LAYOUT = {
    *("begin", "end", "left", "right", "bigl", "bigr", "Bigl", "Bigr", "quad", "qquad"),
    *("frac", "tfrac", "dfrac", "underbrace", "overset", "phantom", "textstyle", "cdot", "times"),
    *("dots", "text", "operatorname", "mathrm", "mathcal"),
}


def formulas(text: str) -> list[str]:
    text = re.sub(r"```(?!\{math\}).*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"(?s)\$\$.+?\$\$|\$[^$]+\$|```\{math\}.+?```", text)


def macros(text: str) -> set[str]:
    return {name for part in formulas(text) for name in re.findall(r"\\([a-zA-Z]+)", part)}


def used(page: Path) -> set[str]:
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    texts = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return set().union(*(macros(text) for text in texts))


def rows() -> list[tuple[set[str], set[str]]]:
    """For each row: what its first cell shows, and the chapters that the row links."""
    found = [line.strip("|").split("|") for line in NOTATION.splitlines() if line.startswith("| ")]
    return [
        (macros(cells[0]), set(re.findall(r"\((\w+)\.ipynb\)", "|".join(cells)))) for cells in found
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_letter_and_sign_of_a_page_is_listed(page: Path) -> None:
    missing = used(page) - macros(NOTATION) - LAYOUT
    assert missing == set(), "give it a row in book/notation.md"


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.stem)
def test_every_greek_letter_of_a_chapter_is_explained_for_it(page: Path) -> None:
    explained = set().union(*(signs for signs, pages in rows() if page.stem in pages))
    missing = (used(page) & GREEK) - explained
    assert missing == set(), f"say in its row of book/notation.md what it is in {page.name}"


def test_a_row_links_pages_that_use_its_letters() -> None:
    letters = {page.stem: used(page) for page in CHAPTERS}
    wrong = [
        f"{', '.join(sorted(signs & GREEK))}: not in the formulas of {page}"
        for signs, pages in rows()
        for page in pages
        if not signs & GREEK <= letters[page]
    ]
    assert wrong == []


def test_formulas_are_told_from_code() -> None:
    text = "`$\\beta$` and $\\alpha x$ cost `$1`:\n```python\nx = '$\\gamma$'\n```\n$$\n\\delta\n$$"
    assert macros(text) == {"alpha", "delta"}
