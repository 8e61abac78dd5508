"""Every code cell of a notebook has an address: ``{ref}`text <book/regression/run-share>```."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


def code_cells(page: SphinxTransform) -> Iterator[tuple[nodes.container, dict[str, Any]]]:
    """For each code cell its place on the page, and what the notebook's file holds of it."""
    path = Path(page.env.doc2path(page.env.docname))
    if path.suffix == ".ipynb":
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for node in list(page.document.findall(nodes.container)):
            if node.get("nb_element") == "cell_code":
                yield node, cells[node["cell_index"]]


class AddressCells(SphinxTransform):
    default_priority = 500

    def apply(self, **_: Any) -> None:
        for node, cell in code_cells(self):
            node["ids"].append(f"cell-{cell['id']}")
            node["names"].append(f"{self.env.docname}/{cell['id']}".lower())
            self.document.note_explicit_target(node)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(AddressCells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
