"""At the foot of each page: the version of torch that the tests run with, by constraints.txt."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

MEANING = "book/making"


def pinned(constraints: str) -> str:
    return re.findall(r"^torch==(\S+)$", constraints, re.MULTILINE)[0]


def say_at_the_foot(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    torch = pinned(Path(app.srcdir, "constraints.txt").read_text(encoding="utf-8"))
    said = f"Last validated with torch {torch}"
    if MEANING in app.env.all_docs:
        page = app.builder.get_relative_uri(pagename, MEANING)
        said = f'<a href="{page}#the-line-at-the-foot">{said}</a>'
    if Path(app.srcdir, f"{pagename}.ipynb").exists():
        said += ": the tests recompute the outputs on this page and compare"
    context["theme_extra_footer"] = f"<p>{said}.</p>"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", say_at_the_foot)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
