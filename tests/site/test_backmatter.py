"""The back matter says what the notebooks and the data files say, and leaves nothing out."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from course_losses.evidence import MIME
from tools.notebooks import ROOT, notebooks

PAGES = list(notebooks([ROOT / "book", ROOT / "solutions"]))


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
