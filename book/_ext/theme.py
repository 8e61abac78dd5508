"""What the theme gets wrong, mended page by page; and the bibliography's style."""

from __future__ import annotations

from typing import Any

from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from sphinx.application import Sphinx


class CourseStyle(Unsorted):
    """Alphabetical, with the DOI as a link."""

    default_sorting_style = "author_year_title"
    default_label_style = "alpha"


def mend_roles(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """ARIA has deprecated ``doc-biblioentry``, and its list lacked the right children."""
    if context.get("body"):
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def setup(app: Sphinx) -> dict[str, bool]:
    register_plugin("pybtex.style.formatting", "course", CourseStyle)
    app.add_css_file("course.css")
    app.add_config_value(
        "comments_config", {}, "env"
    )  # Jupyter Book sets it, and we load no comments
    app.connect("html-page-context", mend_roles, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
