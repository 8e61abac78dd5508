"""Solutions of the bug hunts, right in many styles and wrong in many ways.

`NAME.txt` holds one after each line `=== right: title` or `=== wrong: title`; a wrong one may go on
with ` :: ` and words that its diagnosis must hold. The first is the definition: it is right in a
dozen other styles too. It and the second are wrong with any one piece exchanged, but for the
exchanges listed below `=== equal`, which change nothing that is asked.
"""

import ast
import copy
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
IMPORTS = "import math\nimport torch\nfrom torch import nn\nimport torch.nn.functional as F\n"
HEAD = IMPORTS + "torch.set_default_dtype(torch.float64)\n"


@dataclass(frozen=True)
class Variants:
    RIGHT: dict[str, str]
    WRONG: dict[str, str]
    NAMED: list[tuple[str, str]]


def read(path: Path, most: int = 66) -> Variants:
    """The variants in a file; as many exchanges as make ``most`` wrong ones, spread out."""
    right, wrong, named, equal = {}, {}, [], set()
    for part in path.read_text().split("=== ")[1:]:
        title, _, text = part.partition("\n")
        kind, _, title = title.partition(": ")
        if kind == "equal":
            equal = set(text.strip().splitlines())
        elif kind == "right":
            right[title] = HEAD + text
        else:
            title, _, diagnosis = title.partition(" :: ")
            wrong[title] = HEAD + text
            if diagnosis:
                named.append((wrong[title], diagnosis))
    definition, second = (text.removeprefix(HEAD) for text in list(right.values())[:2])
    mutants = dict(exchanged(definition))
    mutants |= {f"2nd, {title}": text for title, text in exchanged(second)}
    assert equal <= mutants.keys(), equal - mutants.keys()
    mutants = {title: text for title, text in mutants.items() if title not in equal}
    room = min(len(mutants), max(0, most - len(wrong)))
    for number in range(room):
        title = list(mutants)[number * len(mutants) // room]
        wrong[title] = HEAD + mutants[title]
    return Variants(right | dict(styles(definition)), wrong, named)


def styles(definition: str) -> Iterator[tuple[str, str]]:
    """The definition as other people would write it down."""
    name = ast.parse(definition).body[-1].name  # type: ignore[attr-defined]
    hidden = re.sub(rf"\b{name}\b", "_mine", definition)
    yield "float32", IMPORTS + definition
    yield "all on one page", HEAD + definition + "\n\nprint('done')\nx = 3\n"
    yield (
        "torch by another name",
        (HEAD + definition)
        .replace("torch.", "th.")
        .replace("import torch\n", "import torch as th\n")
        .replace("import th.nn", "import torch.nn"),
    )
    yield "everything imported", HEAD + "from torch import *\nimport torch\n" + definition
    yield (
        "indented by tabs",
        HEAD
        + re.sub("^( {4})+", lambda m: "\t" * (len(m[0]) // 4), definition, flags=re.MULTILINE),
    )
    yield (
        "results kept in a variable",
        HEAD
        + re.sub(
            r"^( +)return (\S[^\n]*[^\n(\[])$",
            r"\1the_result = \2\n\1return the_result",
            definition,
            flags=re.MULTILINE,
        ),
    )
    yield "tried before", HEAD + f"def {name}(*given):\n    return 0\n" + definition
    yield "under another name first", HEAD + hidden + f"\n{name} = _mine\n"
    yield (
        "with a docstring and hints of types",
        HEAD
        + re.sub(
            r"(def \w+\([^)]*)\):\n( +)", r'\1) -> "object":\n\2"""Does it."""\n\2', definition
        ),
    )
    yield "guarded", HEAD + "if True:\n" + textwrap.indent(definition, "    ")
    yield "from a text", HEAD + f"exec({definition!r})\n"
    yield "cells with magics", "%matplotlib inline\n" + HEAD + "!true\n" + definition
    yield "commented", HEAD + re.sub(r"\n( +)(\w)", r"\n\1# next\n\1\2", definition)
    if definition.lstrip().startswith("def "):
        yield (
            "by a wrapper",
            HEAD
            + hidden
            + (f"\ndef {name}(*args, **kwargs):\n    return _mine(*args, **kwargs)\n"),
        )
        yield "a lambda", HEAD + hidden + f"\n{name} = lambda *a, **k: _mine(*a, **k)\n"
        yield (
            "a module",
            HEAD
            + hidden
            + (f"\nclass Mine(nn.Module):\n    forward = staticmethod(_mine)\n{name} = Mine()\n"),
        )
        yield (
            "something that can be called",
            HEAD
            + hidden
            + (
                "\nclass Mine:\n    def __call__(self, *a, **k):\n        return _mine(*a, **k)"
                f"\n{name} = Mine()\n"
            ),
        )
        yield (
            "a partial",
            HEAD + hidden + (f"\nimport functools\n{name} = functools.partial(_mine)\n"),
        )
        yield (
            "decorated",
            HEAD
            + (
                "import functools\ndef noted(f):\n    @functools.wraps(f)\n    def g(*a, **k):\n"
                f"        return f(*a, **k)\n    return g\n@noted\n{definition.lstrip()}"
            ),
        )
    else:
        yield "a child", HEAD + hidden + f"\nclass {name}(_mine):\n    pass\n"
        yield (
            "a grandchild",
            HEAD
            + hidden
            + (
                f"\nclass Between(_mine):\n    extra = 1\nclass {name}(Between):\n"
                "    def __init__(self, *a, **k):\n        super().__init__(*a, **k)\n"
            ),
        )
        yield "a factory", HEAD + hidden + f"\n{name} = lambda *a, **k: _mine(*a, **k)\n"


OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
CALLS = {
    "mean": "sum",
    "sum": "mean",
    "abs": "exp",
    "exp": "abs",
    "log": "abs",
    "sqrt": "abs",
    "minimum": "maximum",
    "maximum": "minimum",
    "sign": "abs",
    "norm": "sum",
    "clone": "zero_",
    "append": "count",
    "arange": "zeros",
    "cross_entropy": "mse_loss",
    "log_softmax": "softmax",
    "softplus": "relu",
    "logsumexp": "amax",
    "normalize": "softmax",
    "prod": "sum",
    "mul_": "mul",
    "copy_": "add_",
    "zeros_like": "ones_like",
}


def exchanged(definition: str) -> Iterator[tuple[str, str]]:
    """The definition with one piece exchanged, once for each piece."""
    tree = ast.parse(definition)
    seen = set()
    for number, node in enumerate(ast.walk(tree)):
        for changed in _changes(node):
            other = copy.deepcopy(tree)
            place = list(ast.walk(other))[number]
            place.__dict__.update(changed.__dict__)
            place.__class__ = type(changed)
            text = ast.unparse(ast.fix_missing_locations(other))
            line = getattr(node, "lineno", 0)
            title = f"line {line}: {ast.unparse(node)} → {ast.unparse(changed)}".replace("\n", "; ")
            if text not in seen:
                seen.add(text)
                yield title, text


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in OPERATORS:
        yield _with(node, op=OPERATORS[type(node.op)]())
    if isinstance(node, ast.BinOp):
        yield from (copy.copy(node.left), copy.copy(node.right))
    if isinstance(node, (ast.Expr, ast.AugAssign)):
        yield ast.Pass()
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield _with(node, ops=[OPERATORS[type(node.ops[0])]()])
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        yield copy.copy(node.operand)
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
    if isinstance(node, ast.Attribute) and node.attr in CALLS:
        yield _with(node, attr=CALLS[node.attr])
    if isinstance(node, ast.Return) and node.value is not None:
        for text in ("2 * ({})", "-({})", "({}) + 1", "({}).detach()", "1 - ({})", "None"):
            yield ast.parse("return " + text.format(ast.unparse(node.value))).body[0]


def _with(node: ast.AST, **parts: object) -> ast.AST:
    changed = copy.copy(node)
    for name, part in parts.items():
        setattr(changed, name, part)
    return changed


HUNTS = {f"hunt_{path.stem}": read(path) for path in sorted(HERE.glob("*.txt"))}
