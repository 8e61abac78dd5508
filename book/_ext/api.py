"""The API reference, built without torch, and the links that lead to it from code on the pages."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any, Union

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autodoc.mock import _MockObject
from sphinx.util.inspect import stringify_signature
from sphinx.util.nodes import make_refnode

PACKAGE = "course_losses"


def restore_signature(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, signature: str, returns: str
) -> tuple[str, str] | None:
    """A class whose base is mocked shows the mock's (*args, **kwargs): show its own."""
    module = getattr(getattr(obj, "__init__", None), "__module__", None) or ""
    if what != "class" or not module.startswith(PACKAGE):
        return None
    own = inspect.signature(obj.__init__)
    own = own.replace(parameters=[p for p in own.parameters.values() if p.name != "self"])
    return stringify_signature(own, show_annotation=False), ""


def choose_members(
    app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """What the package exports, and each class's ``forward``, whose docstring is the class's."""
    if what == "module":
        package = sys.modules.get(PACKAGE)
        module = sys.modules.get(getattr(obj, "__module__", ""))
        public = getattr(module, "__all__", getattr(package, "__all__", ()))
        return name not in public or None
    return False if name == "forward" else None


def module_of_code(app: Sphinx, modname: str, attribute: str) -> str:
    """Where a class or function is written; a method under torch's decorator would be torch's."""
    owner = getattr(sys.modules.get(modname), attribute.partition(".")[0], None)
    module = getattr(owner, "__module__", None) or ""
    return module if module.startswith(PACKAGE) else modname


def find_by_last_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.reference | None:
    """``HuberLoss`` is enough to refer to ``course_losses.regression.HuberLoss``."""
    if node.get("refdomain") != "py":
        return None
    wanted = f".{node['reftarget'].removeprefix(f'{PACKAGE}.')}"
    found = [
        entry
        for name, entry in env.domaindata["py"]["objects"].items()
        if name.startswith(f"{PACKAGE}.") and name.endswith(wanted)
    ]
    if len(found) != 1:
        return None
    return make_refnode(app.builder, node["refdoc"], found[0].docname, found[0].node_id, content)


def link_code(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """In notebook cells, the package's public names become links to their entries."""
    body = context.get("body") or ""
    if doctree is None or f">{PACKAGE}<" not in body:
        return
    entries = {
        name.rpartition(".")[2]: app.builder.get_relative_uri(pagename, entry.docname)
        + f"#{entry.node_id}"
        for name, entry in app.env.domaindata["py"]["objects"].items()
        if name.startswith(f"{PACKAGE}.") and entry.objtype in {"class", "function"}
    }

    def linked(name: re.Match[str]) -> str:
        target = entries.get(name[2])
        return f'{name[1]}<a href="{target}">{name[2]}</a></span>' if target else name[0]

    def linked_block(block: re.Match[str]) -> str:
        return re.sub(r'(<span class="n[a-z]?">)(\w+)</span>', linked, block[0])

    context["body"] = re.sub(
        r'<div class="highlight-i?python[^>]*>.*?</pre>', linked_block, body, flags=re.DOTALL
    )


def setup(app: Sphinx) -> dict[str, bool]:
    sys.path.insert(0, str(Path(app.srcdir)))
    _MockObject.__or__ = lambda self, other: Union[self, other]  # noqa: UP007
    _MockObject.__ror__ = lambda self, other: Union[other, self]  # noqa: UP007
    app.connect("autodoc-process-signature", restore_signature)
    app.connect("autodoc-skip-member", choose_members)
    app.connect("viewcode-follow-imported", module_of_code)
    app.connect("missing-reference", find_by_last_name)
    app.connect("html-page-context", link_code)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
