"""Strangers' text made harmless, for terminals, tables, pages and file names."""

from __future__ import annotations

import hashlib
import os
import re


def harmless(name: str) -> str:
    """A file's name as text that no terminal, table or page can trip over; no two names' agree."""
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    shown = "".join(c if c.isprintable() and c != "\\" else _escape(c) for c in text)
    return re.sub("^ +| +$", lambda spaces: r"\x20" * len(spaces[0]), shown) or repr(name)


def _escape(character: str) -> str:
    """Bytes that are no UTF-8 as \\xff, so that no character is taken for one."""
    number = ord(character)
    if 0xDC80 <= number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    if 0x80 <= number <= 0xFF:
        return f"\\u{number:04x}"
    return character.encode("unicode_escape").decode()


def printable(text: str) -> str:
    """Text without control characters and lone surrogates."""
    return "".join(c if c.isprintable() else " " for c in text)


def cell(text: str) -> str:
    """Text that a spreadsheet takes for text: one line, no formula, nothing invisible."""
    shown = printable(text)
    formula = shown.lstrip()[:1] in ("=", "+", "-", "@") and shown != "-"
    return f"'{shown}" if formula else shown


def slug(name: str) -> str:
    """A folder's name that every system takes, different for different students."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    own = re.search(r"-[0-9a-f]{16}$", name)  # what looks hashed could be another name's hash
    if plain == name and not name.startswith(".") and len(name) < 80 and not own:
        return name
    return f"{plain.strip('.')[:60]}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}"
