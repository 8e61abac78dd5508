"""Notebook outputs on a page: no figure without words, no data that is meant for programs."""

from __future__ import annotations

import json

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)

FOR_PROGRAMS = "application/vnd.course-losses."


def leave_out_data(app: Sphinx, docname: str, source: list[str]) -> None:
    if FOR_PROGRAMS not in source[0] or not app.env.doc2path(docname).endswith(".ipynb"):
        return
    notebook = json.loads(source[0])
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in [kind for kind in data if kind.startswith(FOR_PROGRAMS)]:
                del data[kind]
    source[0] = json.dumps(notebook)


def demand_alt_text(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    for image in doctree.findall(nodes.image):
        if not image.get("alt", "").strip():
            log.warning(
                "figure without alternative text: say what the picture shows in the cell's "
                'metadata, "mystnb": {"image": {"alt": "…"}}',
                location=image if image.line else docname,
                type="course",
                subtype="alt",
            )


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", leave_out_data)
    app.connect("doctree-resolved", demand_alt_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
