"""No figure without words: an image that has no alternative text fails the build."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

log = logging.getLogger(__name__)


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
    app.connect("doctree-resolved", demand_alt_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
