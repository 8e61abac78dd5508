"""Every code cell of a notebook has an address: ``{ref}`text <book/regression/run-share>```."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class AddressCells(SphinxTransform):
    default_priority = 500

    def apply(self, **_: Any) -> None:
        path = Path(self.env.doc2path(self.env.docname))
        if path.suffix != ".ipynb":
            return
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        for node in self.document.findall(nodes.container):
            if node.get("nb_element") == "cell_code":
                cell = cells[node["cell_index"]]["id"]
                node["ids"].append(f"cell-{cell}")
                node["names"].append(f"{self.env.docname}/{cell}".lower())
                self.document.note_explicit_target(node)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(AddressCells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
