"""Back matter that nobody types: a comment on a page gives way to what the book's files say.

``<!-- evidence ledger -->``: every claim that a notebook of the book has judged.
``<!-- coverage -->``: ``coverage.csv``, what the sources teach and where it is taught here.
``<!-- errata -->``: ``errata.csv``, what circulates and where it is disproved.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sphinx.application import Sphinx

EVIDENCE = "application/vnd.course-losses.evidence+json"
VERDICTS = {
    "replicates": "replicates",
    "only when": "only when …",
    "does not replicate": "does not replicate",
}


class Claim(NamedTuple):
    """What a cell has stored about one claim, and where the cell stands."""

    page: str
    cell: str
    section: str
    record: dict[str, Any]

    @property
    def verdict(self) -> str:
        """The key of ``VERDICTS`` that the stored verdict begins with."""
        return next(kind for kind in VERDICTS if self.record["verdict"].startswith(kind))


def title(notebook: dict[str, Any]) -> str:
    return next(text for _, text in headings(notebook))


def headings(notebook: dict[str, Any]) -> Iterator[tuple[int, str]]:
    """The number of the cell and the words of each heading."""
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "markdown":
            for text in re.findall(r"^#+ +(.+?) *$", "".join(cell["source"]), re.MULTILINE):
                yield number, text


def claims(page: str, notebook: dict[str, Any]) -> list[Claim]:
    found = []
    for number, cell in enumerate(notebook["cells"]):
        for output in cell.get("outputs", []):
            if record := output.get("data", {}).get(EVIDENCE):
                above = [text for at, text in headings(notebook) if at < number]
                found.append(Claim(page, cell["id"], above[-1], record))
    return found


def ledger(chapters: Sequence[tuple[str, list[Claim]]]) -> Iterator[str]:
    """The page in Markdown: how many claims held, then all of them, chapter by chapter."""
    heads = " | ".join(VERDICTS.values())
    yield from (f"| | {heads} |", f"|---{'|---:' * len(VERDICTS)}|")
    everything = [claim for _, found in chapters for claim in found]
    for name, found in [*chapters, (f"**All {len(everything)} claims**", everything)]:
        verdicts = [claim.verdict for claim in found]
        yield f"| {name} | {' | '.join(str(verdicts.count(kind)) for kind in VERDICTS)} |"
    for name, found in chapters:
        yield from ("", f"## {name}", "")
        for claim in found:
            yield from entry(claim)


def entry(claim: Claim) -> Iterator[str]:
    record = claim.record
    kind = claim.verdict.replace(" ", "-")
    yield f"(claim-{record['claim']})="
    yield f":::{{admonition}} {record['statement']}"
    yield from (":class: claim", "")
    yield f"[{VERDICTS[claim.verdict]}]{{.verdict .{kind}}} {record['source']}"
    yield from (
        "",
        f"| when | {record['effect'].replace('|', '&#124;')} | holds |",
        "|---|---|---|",
    )
    for result in record["results"]:
        shown = result["shown"].replace(", ", ",\u00a0")
        when = result["condition"].replace("|", "&#124;")
        yield f"| {when} | {shown} | {'yes' if result['holds'] else 'no'} |"
    yield from (
        "",
        f"Holds if {record['criterion']}. {len(record['seeds'])} seeds; {record['data']}. "
        f"[{claim.section}](#{claim.page}/{claim.cell})",
        ":::",
        "",
    )


Read = Callable[[str], str]


def evidence(app: Sphinx, read: Read) -> Iterator[str]:
    chapters = []
    for page in app.config.external_site_map:
        if Path(app.srcdir, f"{page}.ipynb").exists():
            notebook = json.loads(read(f"{page}.ipynb"))
            if found := claims(page, notebook):
                chapters.append((title(notebook), found))
    return ledger(chapters)


SOURCES = {
    "S3": "A lecture on loss functions",
    "S2": "An article on custom loss design",
    "S1": "The documentation of Inferno's losses",
    "S0": "A Probly notebook on probabilistic losses",
}


def link(app: Sphinx, place: str, words: str = "") -> str:
    """To ``page#heading``; without words the heading's own are shown."""
    page, _, heading = place.partition("#")
    suffix = Path(app.env.doc2path(page)).suffix
    return f"[{words}](/{page}{suffix}#{heading})"


def coverage(app: Sphinx, read: Read) -> Iterator[str]:
    rows = list(csv.DictReader(read("book/coverage.csv").splitlines()))
    for prefix, source in SOURCES.items():
        yield from (
            "",
            f"## {source}",
            "",
            "| item | taught in | code and its tests |",
            "|---|---|---|",
        )
        for row in rows:
            if row["id"].startswith(prefix):
                places = [place for place in row["taught"].split() if "#" in place]
                taught = [link(app, place) for place in places] or ["*not yet written*"]
                code = [code_link(app, name) for name in row["classes"].split()]
                tests = [f"`{Path(test).name}`" for test in row["tests"].split()]
                item = f"[{row['id']}]{{.id}} {row['item']}"
                yield f"| {item} | {', '.join(taught)} | {', '.join([*code, *tests])} |"


def code_link(app: Sphinx, name: str) -> str:
    """To the reference, or to the solution that holds the code; torch's is only named."""
    path, solution, own = name.partition(".ipynb:")
    if solution:
        return f"[`{own}`](/{path}.ipynb)"
    if name.startswith("torch."):
        return f"`{name}`"
    role = "func" if name.isidentifier() and name.islower() else "obj"  # bayesian is a module, too
    return f"{{py:{role}}}`.{name}`"


PUBLISHED = {
    "lecture": "A lecture",
    "article": "An article",
    "inferno": "Documentation of Inferno",
    "probly": "A Probly notebook",
}


def errata(app: Sphinx, read: Read) -> Iterator[str]:
    pages = list(app.config.external_site_map)
    rows = list(csv.DictReader(read("book/errata.csv").splitlines()))
    at = ""
    for row in sorted(rows, key=lambda row: pages.index(row["sections"].partition("#")[0])):
        page = row["sections"].partition("#")[0]
        if page != at:
            yield from ("", f"## {title(json.loads(read(f'{page}.ipynb')))}", "")
            at = page
        shown = [link(app, place) for place in row["sections"].split()]
        proofs = [f"[code](#{cell})" for cell in row["cells"].split()]
        places = "; ".join(f"{a}, {b}" for a, b in zip(shown, proofs, strict=True))
        yield from (f"{row['circulates']} [{PUBLISHED[row['source']]}]{{.source}}", "")
        yield from (f": {row['truth']} {places}", "")


PAGES = {
    "<!-- evidence ledger -->": evidence,
    "<!-- coverage -->": coverage,
    "<!-- errata -->": errata,
}


def generate(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the generated Markdown in its marker's place, and note what it was made from."""

    def read(path: str) -> str:
        app.env.note_dependency(path)
        return Path(app.srcdir, path).read_text(encoding="utf-8")

    for marker, page in PAGES.items():
        if marker in source[0]:
            read("_toc.yml")
            source[0] = source[0].replace(marker, "\n".join(page(app, read)))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", generate)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
