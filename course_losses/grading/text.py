"""Strangers' text made harmless, for terminals, tables, pages and file names."""

from __future__ import annotations

import hashlib
import os
import re


def harmless(name: str) -> str:
    """A file's name as text that no terminal, table or page can trip over."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.strip() or repr(name)


def printable(text: str) -> str:
    """Text without control characters and lone surrogates."""
    return "".join(c if c.isprintable() else " " for c in text)


def cell(text: str) -> str:
    """Text that a spreadsheet takes for text: one line, no formula, nothing invisible."""
    shown = printable(text)
    return f"'{shown}" if shown.lstrip()[:1] in ("=", "+", "-", "@") else shown


def slug(name: str) -> str:
    """A folder's name that every system takes, different for different students."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    if plain == name and not name.startswith(".") and len(name) < 80:
        return name
    return f"{plain.strip('.')[:60]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
