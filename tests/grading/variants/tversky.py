"""Solutions of the Tversky exercise, right in many styles and wrong in many ways.

`tversky_right.txt` and `tversky_wrong.txt` hold one after each line `=== name`: a cell, or only the
body of `forward`. Further wrong ones are the definition with one piece exchanged.
"""

from pathlib import Path

HERE = Path(__file__).parent


def read(name: str) -> dict[str, str]:
    """The solutions in a file, by name; a body of `forward` is put into the class."""
    parts = (HERE / name).read_text().split("=== ")[1:]
    named = {title: text for title, _, text in (part.partition("\n") for part in parts)}
    return {
        title: text if "TverskyLoss" in text else forward(text) for title, text in named.items()
    }


def forward(body: str) -> str:
    """The definition with another body of `forward`."""
    lines = (f"        {line}\n" for line in body.strip().splitlines())
    return DEFINITION.partition("        tp = ")[0] + "".join(lines)


def edited(*changes: tuple[str, str]) -> str:
    """The definition with some pieces exchanged."""
    text = DEFINITION
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


DEFINITION = """
import torch
from torch import nn
class TverskyLoss(nn.Module):
    def __init__(self, alpha=0.5, beta=0.5, smooth=1.0):
        super().__init__()
        self.alpha, self.beta, self.smooth = alpha, beta, smooth
    def forward(self, pred, target):
        tp = (pred * target).sum()
        fp = (pred * (1 - target)).sum()
        fn = ((1 - pred) * target).sum()
        return 1 - (tp + self.smooth) / (tp + self.alpha * fp + self.beta * fn + self.smooth)
"""
RIGHT = read("tversky_right.txt")

MUTATIONS = [
    ("1 - (tp", "(tp"),
    ("1 - (tp", "-(tp"),
    ("1 - (tp", "2 - (tp"),
    ("1 - (tp", "1 + (tp"),
    ("return 1 - (tp + self.smooth)", "return 1 - (tp - self.smooth)"),
    ("return 1 - (tp + self.smooth)", "return 1 - tp"),
    ("return 1 - (tp + self.smooth)", "return 1 - (2 * tp + self.smooth)"),
    ("return 1 - (tp + self.smooth)", "return 1 - (tp + 1)"),
    ("return 1 - (tp + self.smooth)", "return 1 - (tp + 1e-6)"),
    ("+ self.beta * fn + self.smooth)", "+ self.beta * fn)"),
    ("+ self.beta * fn + self.smooth)", "+ self.beta * fn + 1)"),
    ("+ self.beta * fn + self.smooth)", "+ self.beta * fn + 1e-6)"),
    ("+ self.beta * fn + self.smooth)", "+ self.beta * fn - self.smooth)"),
    ("+ self.beta * fn + self.smooth)", "+ self.beta * fn + 2 * self.smooth)"),
    ("self.alpha * fp + self.beta * fn", "self.beta * fp + self.alpha * fn"),
    ("self.alpha * fp + self.beta * fn", "self.alpha * fp + self.alpha * fn"),
    ("self.alpha * fp + self.beta * fn", "self.beta * fp + self.beta * fn"),
    ("self.alpha * fp + self.beta * fn", "fp + fn"),
    ("self.alpha * fp + self.beta * fn", "0.5 * fp + 0.5 * fn"),
    ("self.alpha * fp + self.beta * fn", "self.alpha * fp"),
    ("self.alpha * fp + self.beta * fn", "self.beta * fn"),
    ("self.alpha * fp + self.beta * fn", "self.alpha * fp - self.beta * fn"),
    ("self.alpha * fp + self.beta * fn", "0.3 * fp + 0.7 * fn"),
    ("self.alpha * fp + self.beta * fn", "self.alpha * fp * self.beta * fn"),
    ("self.alpha * fp + self.beta * fn", "self.alpha * (fp + fn)"),
    ("self.alpha * fp + self.beta * fn", "(1 - self.beta) * fp + self.beta * fn"),
    ("self.alpha * fp + self.beta * fn", "self.alpha * fp + (1 - self.alpha) * fn"),
    ("(tp + self.alpha", "(2 * tp + self.alpha"),
    ("(tp + self.alpha", "(self.alpha"),
    ("tp = (pred * target).sum()", "tp = (pred + target).sum()"),
    ("tp = (pred * target).sum()", "tp = (pred * target).mean()"),
    ("tp = (pred * target).sum()", "tp = (pred * target).max()"),
    ("tp = (pred * target).sum()", "tp = pred.sum()"),
    ("tp = (pred * target).sum()", "tp = target.sum()"),
    ("tp = (pred * target).sum()", "tp = (pred * (1 - target)).sum()"),
    ("tp = (pred * target).sum()", "tp = (pred * target).sum().detach()"),
    ("tp = (pred * target).sum()", "tp = (pred * target).sum().item()"),
    ("tp = (pred * target).sum()", "tp = (pred ** 2 * target).sum()"),
    ("tp = (pred * target).sum()", "tp = ((pred > 0.5) * target).sum()"),
    ("tp = (pred * target).sum()", "tp = (pred.round() * target).sum()"),
    ("tp = (pred * target).sum()", "tp = (pred.sigmoid() * target).sum()"),
    ("tp = (pred * target).sum()", "tp = torch.minimum(pred, 1 - target).sum()"),
    ("fp = (pred * (1 - target)).sum()", "fp = (pred * target).sum()"),
    ("fp = (pred * (1 - target)).sum()", "fp = ((1 - pred) * target).sum()"),
    ("fp = (pred * (1 - target)).sum()", "fp = ((1 - pred) * (1 - target)).sum()"),
    ("fp = (pred * (1 - target)).sum()", "fp = (pred * (1 - target)).mean()"),
    ("fp = (pred * (1 - target)).sum()", "fp = pred.sum()"),
    ("fp = (pred * (1 - target)).sum()", "fp = (pred * (1 - target)).sum().detach()"),
    ("fn = ((1 - pred) * target).sum()", "fn = (pred * (1 - target)).sum()"),
    ("fn = ((1 - pred) * target).sum()", "fn = ((1 - pred) * (1 - target)).sum()"),
    ("fn = ((1 - pred) * target).sum()", "fn = ((1 - pred) * target).mean()"),
    ("fn = ((1 - pred) * target).sum()", "fn = target.sum()"),
    ("fn = ((1 - pred) * target).sum()", "fn = ((1 - pred) * target).sum().item()"),
    ("alpha=0.5, beta=0.5, smooth=1.0", "alpha=0.3, beta=0.7, smooth=1.0"),
    ("alpha=0.5, beta=0.5, smooth=1.0", "alpha=0.5, beta=0.5, smooth=0.0"),
    ("alpha=0.5, beta=0.5, smooth=1.0", "alpha=0.5, beta=0.5, smooth=1e-6"),
    ("alpha=0.5, beta=0.5, smooth=1.0", "alpha=1.0, beta=1.0, smooth=1.0"),
    ("alpha=0.5, beta=0.5, smooth=1.0", "beta=0.5, alpha=0.4, smooth=1.0"),
    ("= alpha, beta, smooth", "= beta, alpha, smooth"),
    ("= alpha, beta, smooth", "= alpha, beta, 1.0"),
    ("= alpha, beta, smooth", "= 0.5, 0.5, smooth"),
    ("        tp =", "        pred = pred.sigmoid()\n        tp ="),
    ("        tp =", "        pred = (pred > 0.5).float()\n        tp ="),
    ("        tp =", "        pred = pred.detach()\n        tp ="),
    ("        tp =", "        pred, target = target, pred\n        tp ="),
    ("        tp =", "        pred = pred.softmax(1)\n        tp ="),
    ("        tp =", "        pred, target = pred[0], target[0]\n        tp ="),
    ("        tp =", "        target.mul_(1.0).zero_()\n        tp ="),
    (".sum()", ".mean()"),
    (".sum()", ".sum((1, 2, 3))"),
    (".sum()", ".sum(0)"),
]
WRONG = read("tversky_wrong.txt") | {f"{old} → {new}": edited((old, new)) for old, new in MUTATIONS}
