"""The back matter says what the notebooks and the data files say, and leaves nothing out."""

import csv
import json
import re
from functools import cache
from html import unescape
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest

import course_losses
from course_losses.evidence import MIME
from tools.notebooks import ROOT, notebooks

PAGES = list(notebooks([ROOT / "book", ROOT / "solutions"]))
WRITTEN = re.findall(r"file: (\S+)", (ROOT / "_toc.yml").read_text(encoding="utf-8"))
PLANNED = (
    "foundations trust regression classification focusing ranking metric_learning segmentation "
    "detection adversarial variational perceptual combining curriculum custom bayesian "
    "variance_reduced evidential calibration choosing convergence"
)
ITEMS = {"S0": 19, "S1": 31, "S2": 32, "S3": 117}


def stored_claims() -> list[tuple[str, dict[str, Any]]]:
    """The address of the cell and the record, for each claim that a notebook has judged."""
    return [
        (f"{path.relative_to(ROOT).with_suffix('.html')}#cell-{cell['id']}", output["data"][MIME])
        for path in PAGES
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
        if MIME in output.get("data", {})
    ]


def plain(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_no_two_claims_share_a_name() -> None:
    names = [record["claim"] for _, record in stored_claims()]
    assert sorted(names) == sorted(set(names))


@pytest.fixture(scope="module")
def ledger(site: Path) -> str:
    return (site / "book" / "evidence.html").read_text(encoding="utf-8")


def test_the_ledger_has_every_claim_with_its_results_and_a_link_to_the_run(ledger: str) -> None:
    entries = dict(
        re.match(r"([^\"]+)\">(.*)", entry, re.DOTALL).groups()  # type: ignore[union-attr]
        for entry in ledger.split('<div class="claim admonition" id="claim-')[1:]
    )
    claims = stored_claims()
    assert len(claims) > 20
    assert set(entries) == {record["claim"] for _, record in claims}
    for address, record in claims:
        entry = entries[record["claim"]]
        assert (
            f'href="{address.removeprefix("book/").replace("solutions", "../solutions")}"' in entry
        )
        words = plain(entry)
        assert record["criterion"] in words
        for result in record["results"]:
            holds = "yes" if result["holds"] else "no"
            assert f"{result['shown']} {holds}" in words.replace("\u00a0", " ")


def test_the_ledger_counts_its_verdicts(ledger: str) -> None:
    *_, total = re.findall(r"<tr[^>]*>(.*?)</tr>", ledger.split("</table>")[0], re.DOTALL)
    verdicts = [record["verdict"] for _, record in stored_claims()]
    kinds = ["replicates", "only when", "does not replicate"]
    counts = [sum(verdict.startswith(kind) for verdict in verdicts) for kind in kinds]
    assert plain(total) == f"All {len(verdicts)} claims {' '.join(map(str, counts))}"


def test_data_that_several_claims_share_are_listed_once(site: Path) -> None:
    shared = 0
    for path in PAGES:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        shown = "".join(
            "".join(output.get("data", {}).get("text/markdown", "")) for output in outputs
        )
        listed = re.findall(r"^> \*\*Data\.\*\* (.*)$", shown, re.MULTILINE)
        repeats = sum(now == before for before, now in pairwise(listed))
        page = site / path.relative_to(ROOT).with_suffix(".html")
        folded = page.read_text(encoding="utf-8").count("The same as for the claim above.")
        assert folded == repeats, path.name
        shared += repeats
    assert shared > 5


def rows(name: str) -> list[dict[str, str]]:
    with (ROOT / "book" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


COVERAGE, ERRATA = rows("coverage.csv"), rows("errata.csv")
every_item = pytest.mark.parametrize("row", COVERAGE, ids=lambda row: row["id"])
every_erratum = pytest.mark.parametrize("row", ERRATA, ids=lambda row: row["id"])


def test_every_item_of_the_sources_has_its_row() -> None:
    expected = {f"{s}-{n:02d}" for s, count in ITEMS.items() for n in range(1, count + 1)}
    assert sorted(row["id"] for row in COVERAGE) == sorted(expected)
    assert all(row["item"] for row in COVERAGE)


def test_every_item_is_taught_as_soon_as_its_chapter_is_written() -> None:
    """A row without a section names the chapter that is to come."""
    places = {row["id"]: row["taught"] for row in COVERAGE if "#" not in row["taught"]}
    assert [name for name, page in places.items() if page in WRITTEN] == []
    assert {page.removeprefix("book/") for page in places.values()} <= set(PLANNED.split())


@cache
def text_of(path: str) -> str:
    """A test file, or the code of a notebook."""
    text = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".ipynb"):
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return text


def defined(name: str) -> bool:
    """In the package, in torch, or in the solution named before the colon."""
    path, solution, own = name.partition(":")
    if solution:
        return bool(re.search(rf"^(class|def) {own}\b", text_of(path), re.MULTILINE))
    module, _, own = name.rpartition(".")
    if module:
        return module.startswith("torch") and hasattr(import_module(module), own)
    found = iter_modules(course_losses.__path__, "course_losses.")
    modules = [course_losses, *(import_module(module.name) for module in found)]
    return any(name in getattr(module, "__all__", ()) for module in modules)


@every_item
def test_code_of_an_item_exists_and_its_tests_mention_it(row: dict[str, str]) -> None:
    names = row["classes"].split()
    tests = [text_of(path) for path in row["tests"].split()]
    assert [name for name in names if not defined(name)] == []
    ours = [name.rpartition(":")[2] for name in names if not name.startswith("torch.")]
    untested = [name for name in ours if not any(re.search(rf"\b{name}\b", text) for text in tests)]
    assert untested == []
    assert bool(tests) == bool(ours)


@every_erratum
def test_an_erratum_says_what_who_and_where(row: dict[str, str]) -> None:
    assert re.fullmatch(r"[WM][0-3]-\d\d", row["id"])
    sources = ["probly", "inferno", "article", "lecture"]
    assert row["source"] == sources[int(row["id"][1])]
    assert len(row["circulates"]) > 10
    assert len(row["truth"]) > 10
    pages = [place.partition("#")[0] for place in row["sections"].split()]
    assert pages == [cell.rpartition("/")[0] for cell in row["cells"].split()]


def test_no_erratum_comes_twice() -> None:
    names = [row["id"] for row in ERRATA]
    assert len(set(names)) == len(names) > 30


def article(site: Path, name: str) -> str:
    page = (site / "book" / f"{name}.html").read_text(encoding="utf-8")
    return page[page.index("<article") : page.index("</article>")]


def links(html: str) -> list[str]:
    """The pages that a piece of the page leads to. That headings exist, the build has checked."""
    return [Path(page).stem for page in re.findall(r'href="([^"#]+)#[^"]+"', html)]


def test_the_page_shows_every_item_and_leads_to_its_sections(site: Path) -> None:
    shown = re.findall(r"<tr[^>]*>(.*?)</tr>", article(site, "coverage"), re.DOTALL)
    shown = [row.split("</td>") for row in shown if 'class="id"' in row]
    assert len(shown) == len(COVERAGE)
    for (item, taught, *_), row in zip(shown, COVERAGE, strict=True):
        assert f'class="id">{row["id"]}<' in item
        places = [place for place in row["taught"].split() if "#" in place]
        assert links(taught) == [Path(place.partition("#")[0]).name for place in places]
        assert ("not yet written" in taught) == (not places)


def test_the_page_shows_every_erratum_and_leads_to_section_and_proof(site: Path) -> None:
    shown = article(site, "errata").split("<dt>")[1:]
    assert len(shown) == len(ERRATA)
    proofs = [
        re.sub(r"(\w+)/([\w-]+)$", r"\1.html#cell-\2", cell.removeprefix("book/"))
        for row in ERRATA
        for cell in row["cells"].split()
    ]
    found = re.findall(r'href="([^"]*#cell-[^"]+)"', "".join(shown))
    assert sorted(page.removeprefix("../") for page in found) == sorted(proofs)
    assert sum(len(links(entry)) for entry in shown) == 2 * len(proofs)


def test_each_page_says_at_its_foot_with_which_torch_it_was_validated(site: Path) -> None:
    (pin,) = re.findall(r"^torch==(\S+)$", text_of("constraints.txt"), re.MULTILINE)
    for name, recomputed in [("book/regression", True), ("book/glossary", False)]:
        page = (site / f"{name}.html").read_text(encoding="utf-8")
        foot = plain(page[page.index('<footer class="bd-footer-content">') :])
        assert f"Last validated with torch {pin}" in foot
        assert ("the tests recompute the outputs on this page" in foot) == recomputed
    assert 'href="book/making.html#the-line-at-the-foot"' in text_of(str(site / "search.html"))
