"""MathJax from the installed package, copied into the site and loaded where there are formulas."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

FOLDER = "mathjax"
SCRIPT = "tex-chtml.js"
FONTS = "output/chtml/fonts/woff-v2"


def installed_mathjax() -> Path:
    package = distribution("sphinx-mathjax-offline")
    return Path(str(package.locate_file("sphinx-mathjax-offline"))) / "static" / "mathjax"


def load_where_needed(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    if 'class="math' not in (context.get("body") or ""):
        context["script_files"] = [
            script for script in context["script_files"] if SCRIPT not in str(script.filename)
        ]


def keep_what_follows(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """A full stop after a formula does not begin the next line."""
    if context.get("body"):
        formula = r'<span class="math notranslate nohighlight">[^<]*</span>[.,;:!?)]+'
        context["body"] = re.sub(formula, r'<span class="math-end">\g<0></span>', context["body"])


def copy_mathjax(app: Sphinx, exception: Exception | None) -> None:
    if exception or app.builder.format != "html":
        return
    source = installed_mathjax()
    target = Path(app.outdir) / "_static" / FOLDER
    for file in (source / SCRIPT, *sorted((source / FONTS).iterdir())):
        copy = target / file.relative_to(source)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.mathjax")
    app.config.mathjax_path = f"{FOLDER}/{SCRIPT}"
    app.connect("html-page-context", load_where_needed, priority=900)
    app.connect("html-page-context", keep_what_follows)
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
