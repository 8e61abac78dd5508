"""Solutions of the perceptual exercise, right in many styles and wrong in many ways.

`perceptual_right.txt` and `perceptual_wrong.txt` hold one after each line `=== name`: whole cells,
or only the methods below the constructor of the definition. Further ones are the definition with
pieces exchanged.
"""
# ruff: noqa: E501 (pieces of code, on one line each)

import textwrap
from pathlib import Path

HERE = Path(__file__).parent


def read(name: str) -> dict[str, str]:
    """The solutions in a file, by name; bare methods are put below the constructor."""
    parts = (HERE / name).read_text().split("=== ")[1:]
    named = {title: text for title, _, text in (part.partition("\n") for part in parts)}
    return {
        title: text if "class MultiScale" in text else CONSTRUCTOR + textwrap.indent(text, "    ")
        for title, text in named.items()
    }


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
import torch.nn.functional as F
NUMBERS = {"relu1_2": 3, "relu2_2": 8, "relu3_3": 15, "relu4_3": 22, "relu5_3": 29}
class MultiScalePerceptualLoss(nn.Module):
    def __init__(self, features, layers=("relu2_2", "relu3_3", "relu4_3")):
        super().__init__()
        self.stops = [NUMBERS[name] for name in layers]
        self.features = features
        for p in self.features.parameters():
            p.requires_grad = False
        self.weight_logits = nn.Parameter(torch.zeros(len(layers)))

    def maps(self, x):
        found = {}
        for number, module in enumerate(self.features):
            x = module(x)
            found[number] = x
        return [found[stop] for stop in self.stops]

    def forward(self, pred, target):
        weights = torch.softmax(self.weight_logits, dim=0)
        total = 0
        for w, a, b in zip(weights, self.maps(pred), self.maps(target)):
            total = total + w * F.mse_loss(a, b)
        return total
"""
CONSTRUCTOR = DEFINITION.partition("    def maps")[0]

SAME = {  # what changes nothing
    "the definition": (),
    "default dtype float64": (
        ("import torch\n", "import torch\ntorch.set_default_dtype(torch.float64)\n"),
    ),
    "requires_grad_": (
        (
            "for p in self.features.parameters():\n            p.requires_grad = False",
            "self.features.requires_grad_(False)",
        ),
    ),
    "eval mode too": (("self.features = features\n", "self.features = features.eval()\n"),),
    "nn.MSELoss": (("F.mse_loss(a, b)", "nn.MSELoss()(a, b)"),),
    "mean of squares": (("F.mse_loss(a, b)", "(a - b).pow(2).mean()"),),
    "squared norm over count": (("F.mse_loss(a, b)", "(a - b).square().sum() / a.numel()"),),
    "inner product": (
        ("F.mse_loss(a, b)", "torch.dot((a - b).flatten(), (a - b).flatten()) / a.numel()"),
    ),
    "mean of the pictures' means": (("F.mse_loss(a, b)", "((a - b) ** 2).mean((1, 2, 3)).mean()"),),
    "target without gradient": (("self.maps(target)", "[m.detach() for m in self.maps(target)]"),),
    "exp over sum": (
        (
            "torch.softmax(self.weight_logits, dim=0)",
            "self.weight_logits.exp() / self.weight_logits.exp().sum()",
        ),
    ),
    "softmax method": (
        ("torch.softmax(self.weight_logits, dim=0)", "self.weight_logits.softmax(0)"),
    ),
    "last dimension": (
        ("torch.softmax(self.weight_logits, dim=0)", "F.softmax(self.weight_logits, dim=-1)"),
    ),
    "exp of log_softmax": (
        ("torch.softmax(self.weight_logits, dim=0)", "self.weight_logits.log_softmax(0).exp()"),
    ),
    "a tensor to start from": (("total = 0\n", "total = torch.zeros((), dtype=pred.dtype)\n"),),
    "starts from a float32 zero": (("total = 0\n", "total = torch.tensor(0.0)\n"),),
    "zeros times a ramp": (("torch.zeros(len(layers))", "torch.arange(float(len(layers))) * 0"),),
    "new_zeros": (
        ("torch.zeros(len(layers))", "next(features.parameters()).new_zeros(len(layers))"),
    ),
    "clones what it keeps": (("found[number] = x", "found[number] = x.clone()"),),
    "a list of modules": (
        ("enumerate(self.features)", "enumerate(list(self.features.children()))"),
    ),
    "stops early": (
        (
            "            found[number] = x\n",
            "            found[number] = x\n            if number == max(self.stops):\n                break\n",
        ),
    ),
    "slices": (
        (
            "        found = {}\n        for number, module in enumerate(self.features):\n            x = module(x)\n            found[number] = x\n        return [found[stop] for stop in self.stops]",
            "        return [self.features[: stop + 1](x) for stop in self.stops]",
        ),
    ),
    "its own copy": (
        (
            "self.features = features\n",
            "import copy\n        self.features = copy.deepcopy(features)\n",
        ),
    ),
    "hidden from parameters()": (
        ("self.features = features\n", "object.__setattr__(self, 'features', features)\n"),
    ),
    "frozen by detach_": (("p.requires_grad = False", "p.requires_grad_(False).detach_()"),),
    "only three names": (('"relu1_2": 3, ', ""), (', "relu5_3": 29', "")),
    "registered by name": (
        (
            "self.weight_logits = nn.Parameter(torch.zeros(len(layers)))",
            "self.register_parameter('weight_logits', nn.Parameter(torch.zeros(len(layers))))",
        ),
    ),
    "logits before the network": (
        (
            "        self.features = features\n",
            "        self.weight_logits = nn.Parameter(torch.zeros(len(layers)))\n        self.features = features\n",
        ),
    ),
    "keeps the network in evaluation": (
        (
            "    def maps",
            "    def train(self, mode=True):\n        super().train(mode)\n        self.features.eval()\n        return self\n\n    def maps",
        ),
    ),
    "ReLUs no longer in place": (
        (
            "        self.weight_logits",
            "        for module in self.features:\n            if isinstance(module, nn.ReLU):\n                module.inplace = False\n        self.weight_logits",
        ),
    ),
    "says what is unknown": (
        (
            "self.stops = [NUMBERS[name] for name in layers]",
            "self.stops = []\n        for name in layers:\n            if name not in NUMBERS:\n                raise ValueError(name)\n            self.stops.append(NUMBERS[name])",
        ),
    ),
}
RIGHT = {name: edited(*changes) for name, changes in SAME.items()} | read("perceptual_right.txt")

MSE, SOFTMAX, STOPS = (
    "F.mse_loss(a, b)",
    "torch.softmax(self.weight_logits, dim=0)",
    "NUMBERS[name]",
)
TOTAL, RETURN = "total = total + w * F.mse_loss(a, b)", "        return total"
FROZEN = "            p.requires_grad = False"
BOTH = "self.maps(pred), self.maps(target)"
MUTATIONS = [
    (STOPS, "NUMBERS[name] + 1"),
    (STOPS, "NUMBERS[name] - 1"),
    (STOPS, "NUMBERS[name] - 2"),
    (STOPS, "NUMBERS[name] + 2"),
    ('relu2_2": 8', 'relu2_2": 9'),
    ('relu3_3": 15', 'relu3_3": 16'),
    ('relu4_3": 22', 'relu4_3": 20'),
    ("[NUMBERS[name] for name in layers]", "[8, 15, 22]"),
    ("[NUMBERS[name] for name in layers]", "[3, 8, 15]"),
    ("[NUMBERS[name] for name in layers]", "[NUMBERS[name] for name in layers][::-1]"),
    ('layers=("relu2_2", "relu3_3", "relu4_3")', 'layers=("relu1_2", "relu2_2", "relu3_3")'),
    (
        'layers=("relu2_2", "relu3_3", "relu4_3")',
        'layers=("relu1_2", "relu2_2", "relu3_3", "relu4_3")',
    ),
    (MSE, "F.l1_loss(a, b)"),
    (MSE, "F.smooth_l1_loss(a, b)"),
    (MSE, "F.mse_loss(a, b).sqrt()"),
    (MSE, "F.mse_loss(a, b, reduction='sum')"),
    (MSE, "((a - b) ** 2).sum((1, 2, 3)).mean()"),
    (MSE, "((a - b) ** 2).mean((1, 2, 3)).sum()"),
    (MSE, "((a - b) ** 2).sum(1).mean()"),
    (MSE, "F.mse_loss(a, b) / 2"),
    (MSE, "F.mse_loss(a, a)"),
    (MSE, "(a - b).mean()"),
    (MSE, "(a - b).mean() ** 2"),
    (MSE, "F.mse_loss(a.mean((2, 3)), b.mean((2, 3)))"),
    (
        MSE,
        "F.mse_loss(a.flatten(2) @ a.flatten(2).mT / a[0].numel(), b.flatten(2) @ b.flatten(2).mT / b[0].numel())",
    ),
    (MSE, "F.mse_loss(F.normalize(a, dim=1), F.normalize(b, dim=1))"),
    (MSE, "(1 - F.cosine_similarity(a, b)).mean()"),
    (MSE, "F.mse_loss(a.detach(), b)"),
    (MSE, "F.mse_loss(a, b).item()"),
    (MSE, "(F.mse_loss(a, b) + 1e-3)"),
    (SOFTMAX, "self.weight_logits"),
    (SOFTMAX, "torch.sigmoid(self.weight_logits)"),
    (SOFTMAX, "F.softplus(self.weight_logits)"),
    (SOFTMAX, "self.weight_logits.exp()"),
    (SOFTMAX, "torch.log_softmax(self.weight_logits, dim=0)"),
    (SOFTMAX, "torch.softmax(-self.weight_logits, dim=0)"),
    (SOFTMAX, "torch.softmax(torch.softmax(self.weight_logits, 0), 0)"),
    (SOFTMAX, "torch.softmax(self.weight_logits, dim=0).detach()"),
    (SOFTMAX, "torch.softmax(self.weight_logits.data, dim=0)"),
    (SOFTMAX, "torch.softmax(self.weight_logits, dim=0).flip(0)"),
    (SOFTMAX, "torch.softmax(self.weight_logits / 2, dim=0)"),
    (SOFTMAX, "torch.ones_like(self.weight_logits)"),
    (SOFTMAX, "torch.full_like(self.weight_logits, 1 / len(self.stops))"),
    (SOFTMAX, "self.weight_logits / self.weight_logits.sum()"),
    (SOFTMAX, "F.gumbel_softmax(self.weight_logits, dim=0)"),
    (SOFTMAX, "len(self.stops) * torch.softmax(self.weight_logits, dim=0)"),
    (TOTAL, "total = w * F.mse_loss(a, b)"),
    (TOTAL, "total = total - w * F.mse_loss(a, b)"),
    (TOTAL, "return w * F.mse_loss(a, b)"),
    (TOTAL, "total = total + F.mse_loss(w * a, w * b)"),
    (TOTAL, "total = total + w * F.mse_loss(a, b) / len(weights)"),
    (RETURN, "        return total / len(weights)"),
    (RETURN, "        return total.item()"),
    (RETURN, "        return total.detach()"),
    (RETURN, "        return total.reshape(1)"),
    (RETURN, "        return total + F.mse_loss(pred, target)"),
    (RETURN, "        return total, weights"),
    (RETURN, "        return total - (weights * weights.log()).sum()"),
    (RETURN, "        target.zero_()\n        return total"),
    (RETURN, "        target.clamp_(0.2, 0.8)\n        return total"),
    (RETURN, "        total.backward(retain_graph=True)\n        return total"),
    (RETURN, "        pass"),
    (BOTH, "self.maps(pred.detach()), self.maps(target)"),
    (BOTH, "self.maps(255 * pred), self.maps(255 * target)"),
    (BOTH, "self.maps(2 * pred - 1), self.maps(2 * target - 1)"),
    (BOTH, "self.maps(pred.clamp(0, 1)), self.maps(target)"),
    (BOTH, "self.maps(pred), [b.mean(0) for b in self.maps(target)]"),
    (
        BOTH,
        "self.maps(F.interpolate(pred, scale_factor=0.5)), self.maps(F.interpolate(target, scale_factor=0.5))",
    ),
    (BOTH, "self.maps(pred[:1]), self.maps(target[:1])"),
    (FROZEN, "            pass"),
    (FROZEN, "            p.requires_grad = True"),
    ("nn.Parameter(torch.zeros(len(layers)))", "torch.zeros(len(layers))"),
    ("nn.Parameter(torch.zeros(len(layers)))", "torch.zeros(len(layers), requires_grad=True)"),
    ("nn.Parameter(torch.zeros(len(layers)))", "nn.Parameter(torch.ones(len(layers)))"),
    ("nn.Parameter(torch.zeros(len(layers)))", "nn.Parameter(torch.zeros(3))"),
    ("nn.Parameter(torch.zeros(len(layers)))", "nn.Parameter(torch.randn(len(layers)))"),
    (
        "nn.Parameter(torch.zeros(len(layers)))",
        "nn.Parameter(torch.zeros(len(layers)), requires_grad=False)",
    ),
    ("self.weight_logits", "self.weights"),
    ("            x = module(x)\n", "            x = module(x).detach()\n"),
    ("        found = {}\n", "        found = {}\n        x = (x - x.mean()) / x.std()\n"),
    ("        found = {}\n", "        found = {}\n        x = 2 * x - 1\n"),
]
WRONG = read("perceptual_wrong.txt") | {
    f"{old.strip()} → {new.strip()}": edited((old, new)) for old, new in MUTATIONS
}


def wrong(old: str, new: str) -> str:
    return WRONG[f"{old.strip()} → {new.strip()}"]


NAMED = [
    (wrong(STOPS, "NUMBERS[name] + 1"), "max-pools"),
    (wrong(STOPS, "NUMBERS[name] - 1"), "before the ReLU"),
    (wrong(STOPS, "NUMBERS[name] - 2"), "the ReLU before"),
    (wrong("[NUMBERS[name] for name in layers]", "[8, 15, 22]"), "layers is ignored"),
    (wrong(MSE, "F.l1_loss(a, b)"), "absolute difference"),
    (wrong(MSE, "F.mse_loss(a, b).sqrt()"), "A root"),
    (wrong(MSE, "F.mse_loss(a, b, reduction='sum')"), "Squares are summed"),
    (wrong(MSE, "((a - b) ** 2).sum((1, 2, 3)).mean()"), "summed over channels and pixels"),
    (wrong(MSE, "((a - b) ** 2).mean((1, 2, 3)).sum()"), "summed over the batch"),
    (wrong(MSE, "F.mse_loss(a, b) / 2"), "half"),
    (WRONG["Gram matrices"], "Gram"),
    (wrong(MSE, "F.mse_loss(F.normalize(a, dim=1), F.normalize(b, dim=1))"), "LPIPS"),
    (wrong("        found = {}\n", "        found = {}\n        x = 2 * x - 1\n"), "scaled to −1"),
    (wrong(SOFTMAX, "self.weight_logits"), "logits themselves"),
    (wrong(SOFTMAX, "torch.sigmoid(self.weight_logits)"), "sigmoids"),
    (wrong(SOFTMAX, "F.softplus(self.weight_logits)"), "softplus"),
    (wrong(SOFTMAX, "self.weight_logits.exp()"), "half a softmax"),
    (wrong(SOFTMAX, "torch.log_softmax(self.weight_logits, dim=0)"), "log_softmax"),
    (wrong(SOFTMAX, "torch.softmax(-self.weight_logits, dim=0)"), "wrong sign"),
    (wrong(SOFTMAX, "torch.softmax(torch.softmax(self.weight_logits, 0), 0)"), "applied twice"),
    (wrong(SOFTMAX, "torch.softmax(self.weight_logits, dim=0).detach()"), "reaches weight_logits"),
    (wrong(SOFTMAX, "torch.softmax(self.weight_logits, dim=0).flip(0)"), "in reverse"),
    (wrong(SOFTMAX, "torch.ones_like(self.weight_logits)"), "each with weight 1"),
    (wrong(SOFTMAX, "torch.full_like(self.weight_logits, 1 / len(self.stops))"), "not used"),
    (wrong(SOFTMAX, "self.weight_logits / self.weight_logits.sum()"), "w / Σw"),
    (wrong(TOTAL, "total = w * F.mse_loss(a, b)"), "Only the last layer"),
    (wrong(TOTAL, "total = total - w * F.mse_loss(a, b)"), "negative"),
    (wrong(TOTAL, "return w * F.mse_loss(a, b)"), "Only the first layer"),
    (wrong(RETURN, "        return total / len(weights)"), "averaged"),
    (wrong(RETURN, "        return total.detach()"), "No gradient arrives at all"),
    (wrong(RETURN, "        return total.item()"), "No gradient arrives at all"),
    (wrong(RETURN, "        return total.reshape(1)"), "shape (1,)"),
    (
        wrong(RETURN, "        return total + F.mse_loss(pred, target)"),
        "pictures' own squared error",
    ),
    (wrong(RETURN, "        target.zero_()\n        return total"), "changed in place"),
    (wrong(BOTH, "self.maps(pred.detach()), self.maps(target)"), "No gradient reaches pred"),
    (wrong(BOTH, "self.maps(255 * pred), self.maps(255 * target)"), "multiplied by 255"),
    (wrong(FROZEN, "            pass"), "requires_grad off"),
    (wrong("self.weight_logits", "self.weights"), "no parameter called weight_logits"),
    (
        wrong("nn.Parameter(torch.zeros(len(layers)))", "torch.zeros(len(layers))"),
        "no parameter called",
    ),
    (
        wrong("nn.Parameter(torch.zeros(len(layers)))", "nn.Parameter(torch.ones(len(layers)))"),
        "three zeros",
    ),
    (WRONG["ImageNet's normalisation"], "ImageNet"),
    (WRONG["one number per layer"], "One number per layer"),
    (WRONG["everything under no_grad"], "No gradient arrives at all"),
    (WRONG["nothing"], "not attempted"),
]
