"""What the theme gets wrong, mended page by page; and the bibliography's style."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pydata_sphinx_theme
from docutils import nodes
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as Unsorted
from sphinx.application import Sphinx

ICON = """
:is(.fa-solid, .fas) { font-family: inherit !important; }
:is(.fa-solid, .fas)::before {
  background: currentColor; content: "" !important; display: inline-block; height: 1em;
  mask: var(--icon) center / contain no-repeat; vertical-align: -0.125em; width: 1em;
}
"""


class CourseStyle(Unsorted):
    """Alphabetical, with the DOI as a link."""

    default_sorting_style = "author_year_title"
    default_label_style = "alpha"


def mend_roles(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """ARIA has deprecated ``doc-biblioentry``; a header cell without words is no header."""
    if context.get("body"):
        body = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
        context["body"] = re.sub(r'<th class="head">(<p></p>)?</th>', "<td></td>", body)


def mark_breaks(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Where a long name in a sentence may go on in the next line: in front of _ and capitals."""

    def marked(name: re.Match[str]) -> str:
        return re.sub(r"(?<=[a-z0-9)])(?=[_A-Z(])|(?<=[.,=/(])(?=\w)", "<wbr>", name[0])

    if context.get("body"):
        inside = r'(?<=<span class="pre">)[^<&]{13,}(?=</span>)'
        context["body"] = re.sub(inside, marked, context["body"])


def drop_empty_headers(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """A Markdown table must have a header row; one without words is no header."""
    for header in list(doctree.findall(nodes.thead)):
        if not header.astext().strip():
            header.parent.remove(header)


def fold_repeats(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Claims that follow each other on the same data say so, instead of listing them again."""
    before = ""
    for box in doctree.findall(nodes.block_quote):
        for paragraph in box.findall(nodes.paragraph):
            text = paragraph.astext()
            if text.startswith("Data. "):
                if text == before:
                    label = next(paragraph.findall(nodes.strong))
                    paragraph.clear()
                    paragraph += [label, nodes.Text(" The same as for the claim above.")]
                before = text


def digest(folders: list[Path]) -> str:
    """Of the machinery's own files: where they change, every page is written again."""
    files = (file for folder in folders for file in sorted(folder.rglob("*.*")))
    contents = b"".join(file.read_bytes() for file in files if file.suffix != ".pyc")
    return hashlib.sha256(contents).hexdigest()


def draw_icons(app: Sphinx, exception: Exception | None) -> None:
    """The dozen icons in use as one small style sheet, instead of a script of 1500 and a font."""
    if exception is not None:
        return
    theme = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme"
    script = (theme / "static" / "scripts" / "fontawesome.js").read_text(encoding="utf-8")
    pages = (page.read_text(encoding="utf-8") for page in Path(app.outdir).rglob("*.html"))
    used = {name for page in pages for name in re.findall(r"\bfa-([a-z-]+)", page)}
    rules = [ICON]
    for name in sorted(used):
        outline = rf'[,{{]"?{name}"?:\[(\d+),(\d+),\[[^\]]*\],"\w+","(M[^"]+)"\]'
        for width, height, path in re.findall(outline, script)[-1:]:  # the last style is the solid
            svg = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}'>"
            svg = quote(f"{svg}<path d='{path}'/></svg>", safe=" ='/:")
            rules.append(f'.fa-{name} {{ --icon: url("data:image/svg+xml,{svg}"); }}')
    (Path(app.outdir) / "_static" / "icons.css").write_text("\n".join(rules), encoding="utf-8")


def drop_what_no_page_loads(app: Sphinx, exception: Exception | None) -> None:
    """Half of what the theme copies: source maps, its icon script, fonts in an older format."""
    static = Path(app.outdir) / "_static"
    for pattern in ("**/*.map", "scripts/fontawesome.js*", "vendor/**/*.ttf", "locales/**/*.*"):
        for file in static.glob(pattern):
            file.unlink()


def setup(app: Sphinx) -> dict[str, bool]:
    here = Path(__file__).parent
    machinery = digest([here, here.parent / "_static", here.parent / "_templates"])
    app.add_config_value("course_machinery", machinery, "env")
    register_plugin("pybtex.style.formatting", "course", CourseStyle)
    app.add_css_file("course.css")
    app.add_css_file("icons.css")
    app.add_js_file("print.js", loading_method="defer")
    # Jupyter Book sets it, and the extension that reads it is not loaded.
    app.add_config_value("comments_config", {}, "env")
    app.connect("doctree-resolved", drop_empty_headers)
    app.connect("doctree-resolved", fold_repeats)
    app.connect("html-page-context", mend_roles, priority=900)
    app.connect("html-page-context", mark_breaks, priority=900)
    app.connect("build-finished", draw_icons)
    app.connect("build-finished", drop_what_no_page_loads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
