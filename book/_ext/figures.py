"""Below each figure that carries numbers its data: a CSV file, and a table where it is short.

The numbers were left in the cell's stored output when `make notebooks` ran it (tools/figures.py).
On a narrow screen a picture keeps a width at which its words can be read, and scrolls.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import struct
from html import escape
from itertools import chain, count
from pathlib import Path
from typing import Any

from cells import code_cells
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

KEY = "figure"
BUNDLE = "mime_bundle"  # an output, of which Sphinx later picks one form
FOLDER = "_data"
COLUMNS = ("x", "y", "low", "high")
ROWS_SHOWN = 30
READABLE = 0.52  # of a picture's own width, at which its 12-point words are 12 pixels high


class FigureData(nodes.General, nodes.Element):
    """The panels of one cell's figures, and the name of their file."""


class FigureFrame(nodes.General, nodes.Element):
    """Around a picture: it scrolls where the screen is narrower than the picture can be read."""


class ShowData(SphinxTransform):
    default_priority = 500

    def apply(self, **_: Any) -> None:
        page = self.env.docname.removeprefix("book/").replace("/", "-")
        for node, cell in code_cells(self):
            show(node, cell.get("outputs", []), f"{page}-{cell['id']}")


def show(cell: nodes.container, outputs: list[dict[str, Any]], name: str) -> None:
    """Puts each of the cell's pictures into a frame, and the data below picture or Stepper."""
    bundles = [node for node in cell.findall(nodes.container) if node.get("nb_element") == BUNDLE]
    rich = [output for output in outputs if "data" in output]
    files = chain([f"{name}.csv"], (f"{name}-{number}.csv" for number in count(2)))
    for bundle, output in zip(bundles, rich, strict=bool(bundles)):
        if panels := json.loads(output.get("metadata", {}).get(KEY, "[]")):
            parent = bundle.parent
            data = FigureData(panels=panels, name=next(files))
            parent.insert(parent.index(bundle) + 1, data)
        for image in list(bundle.findall(nodes.image)):
            width = round(READABLE * png_width("".join(output["data"]["image/png"])))
            image.replace_self(FigureFrame("", image.deepcopy(), width=width))


def png_width(picture: str) -> int:
    return struct.unpack(">I", base64.b64decode(picture[:32])[16:20])[0]


def rows(panel: dict[str, Any]) -> list[tuple[str, list[Any]]]:
    """For each point its series, and x, y, low and high; None where not given."""
    found = []
    for series in panel["series"]:
        columns = [series.get(key, panel.get("at") if key == "x" else None) for key in COLUMNS]
        length = max(len(column) for column in columns if column)
        columns = [column or [None] * length for column in columns]
        found += [(series["name"], list(point)) for point in zip(*columns, strict=True)]
    return found


def csv_text(panels: list[dict[str, Any]]) -> str:
    """One line for each point. A column has the name of the axis if all panels agree on it."""
    names = []
    for key in ("x", "y"):
        said = {panel[key] for panel in panels}
        names.append((said.pop() if len(said) == 1 else "") or key)
    points = [(panel_name(panel, names), *row) for panel in panels for row in rows(panel)]
    bands = any(value is not None for *_, point in points for value in point[2:])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["panel", "series", *names, *(COLUMNS[2:] if bands else ())])
    writer.writerows([panel, name, *point[: 4 if bands else 2]] for panel, name, point in points)
    return text.getvalue()


def panel_name(panel: dict[str, Any], names: list[str]) -> str:
    """Its title, and what the names of the columns do not say about its axes."""
    unsaid = [panel[key] for key, name in zip(("y", "x"), names[::-1], strict=True)]
    unsaid = [axis for axis in unsaid if axis not in {*names, panel["title"]}]
    return ": ".join(filter(None, [panel["title"], " against ".join(filter(None, unsaid))]))


def table(panel: dict[str, Any]) -> list[list[str]]:
    """A row for each place x and a column for each series; of clouds a row for each point."""
    points = rows(panel)
    series = list(dict.fromkeys(name for name, _ in points))
    places = list(dict.fromkeys(point[0] for _, point in points))
    cells = {(name, point[0]): entry(point) for name, point in points}
    across, up = panel["x"] or "x", panel["y"] or "y"
    if len(cells) < len(points):
        return [
            [across, up, "series"],
            *([shown(point[0]), entry(point), name] for name, point in points),
        ]
    return [
        [across, *series],
        *([shown(x) or "all", *(cells.get((name, x), "") for name in series)] for x in places),
    ]


def entry(point: list[Any]) -> str:
    _, y, low, high = point
    interval = "" if low is None else f"[{shown(low)},\u00a0{shown(high)}]"
    return f"{shown(y)} {interval}".strip()


def shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else str(value).replace("-", "−")


def table_html(panel: dict[str, Any], name: str) -> str:
    head, *body = table(panel)
    heads = "".join(f'<th scope="col">{escape(text)}</th>' for text in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(text)}</td>" for text in rest)
        + "</tr>\n"
        for first, *rest in body
    )
    caption = escape(": ".join(filter(None, [panel["title"], panel["y"]])) or "Data")
    return (
        f'<div class="scrolls" tabindex="0" role="group" aria-labelledby="{name}">'
        f'<table class="table"><caption id="{name}">{caption}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table></div>\n"
    )


def visit_data(translator: Any, node: FigureData) -> None:
    panels, name = node["panels"], node["name"]
    text = csv_text(panels)
    file = Path(translator.builder.outdir, FOLDER, name)
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8-sig")  # the mark by which spreadsheets know UTF-8
    lines = text.count("\n") - 1
    thinned = max(series.get("every", 1) for panel in panels for series in panel["series"])
    root = "../" * translator.builder.current_docname.count("/")
    translator.body.append(
        '<details class="figure-data"><summary>Data of this figure</summary>'
        f'<p><a href="{root}{FOLDER}/{name}" download>{name}</a>, {lines} rows'
        f"{f', of long series each {ordinal(thinned)} point' if thinned > 1 else ''}.</p>"
    )
    if sum(len(table(panel)) - 1 for panel in panels) <= ROWS_SHOWN:
        stem = name.removesuffix(".csv")
        translator.body += [
            table_html(panel, f"data-{stem}-{number}") for number, panel in enumerate(panels, 1)
        ]
    translator.body.append("</details>\n")
    raise nodes.SkipNode


def ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def visit_frame(translator: Any, node: FigureFrame) -> None:
    translator.body.append(
        '<div class="figure-frame pst-scrollable-table-container" '  # focusable where it scrolls
        f'style="--readable: {node["width"]}px">'
    )


def depart_frame(translator: Any, node: FigureFrame) -> None:
    translator.body.append("</div>")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(ShowData)
    app.add_node(FigureData, html=(visit_data, None))
    app.add_node(FigureFrame, html=(visit_frame, depart_frame))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
