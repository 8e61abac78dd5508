"""Solutions of the balancing exercise, right in many styles and wrong in many ways.

Each is the definition with some pieces exchanged.
"""
# ruff: noqa: E501 (pieces of code, on one line each)

DEFINITION = """
import torch
from torch import nn
import torch.nn.functional as F
class MultiTaskModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        )
        self.seg = nn.Conv2d(8, 4, 1)
        self.depth = nn.Conv2d(8, 1, 1)
        self.det = nn.Linear(8, 3)
    def forward(self, x):
        h = self.encoder(x)
        return {"segmentation": self.seg(h), "depth": self.depth(h), "detection": self.det(h.mean((2, 3)))}

class UncertaintyWeighting(nn.Module):
    def __init__(self, num_tasks=3):
        super().__init__()
        self.log_vars = nn.Parameter(torch.zeros(num_tasks))
    def forward(self, losses):
        total = 0
        for s, loss in zip(self.log_vars, losses):
            total = total + torch.exp(-s) * loss + s
        return total

def focal(logits, target):
    ce = F.cross_entropy(logits, target, reduction="none")
    p = torch.exp(-ce)
    return ((1 - p) ** 2 * ce).mean()

def train(model, weighting, data, epochs=5, lr=1e-2):
    optimizer = torch.optim.Adam(list(model.parameters()) + list(weighting.parameters()), lr=lr)
    history = {"loss": [], "task_losses": [], "weights": []}
    for epoch in range(epochs):
        totals, rows = [], []
        for x, targets in data:
            out = model(x)
            losses = [
                F.cross_entropy(out["segmentation"], targets["segmentation"]),
                F.l1_loss(out["depth"], targets["depth"]),
                focal(out["detection"], targets["detection"]),
            ]
            loss = weighting(losses)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals.append(loss.item())
            rows.append([l.item() for l in losses])
        history["loss"].append(sum(totals) / len(totals))
        history["task_losses"].append([sum(column) / len(column) for column in zip(*rows)])
        history["weights"].append(torch.exp(-weighting.log_vars).tolist())
    return history
"""


def edited(*changes: tuple[str, str]) -> str:
    """The definition with some pieces exchanged."""
    text = DEFINITION
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


ADAM = "torch.optim.Adam(list(model.parameters()) + list(weighting.parameters()), lr=lr)"
ENCODER = """            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
"""
OUTPUTS = '        return {"segmentation": self.seg(h), "depth": self.depth(h), "detection": self.det(h.mean((2, 3)))}'
LOOP = """        total = 0
        for s, loss in zip(self.log_vars, losses):
            total = total + torch.exp(-s) * loss + s
        return total
"""
TERM = "torch.exp(-s) * loss + s"
PARAMETER = "nn.Parameter(torch.zeros(num_tasks))"
STEP = """            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
"""
FOCAL = "((1 - p) ** 2 * ce).mean()"
L1 = 'F.l1_loss(out["depth"], targets["depth"])'
CE = 'F.cross_entropy(out["segmentation"], targets["segmentation"])'
DET = 'focal(out["detection"], targets["detection"])'
ROWS = 'history["task_losses"].append([sum(column) / len(column) for column in zip(*rows)])'
TOTALS = 'history["loss"].append(sum(totals) / len(totals))'
WEIGHTS = 'history["weights"].append(torch.exp(-weighting.log_vars).tolist())'
EACH = "            rows.append([l.item() for l in losses])\n"

SAME: dict[str, list[tuple[str, str]]] = {
    "the definition": [],
    "default dtype float64": [
        ("import torch\n", "import torch\ntorch.set_default_dtype(torch.float64)\n")
    ],
    "SGD": [(ADAM, ADAM.replace("Adam", "SGD"))],
    "SGD with momentum": [
        (ADAM, ADAM.replace("Adam", "SGD").replace("lr=lr", "lr=lr, momentum=0.9"))
    ],
    "AdamW": [(ADAM, ADAM.replace("Adam", "AdamW"))],
    "RMSprop": [(ADAM, ADAM.replace("Adam", "RMSprop"))],
    "two groups": [
        (
            ADAM,
            "torch.optim.Adam([{'params': model.parameters()}, {'params': weighting.parameters()}], lr=lr)",
        )
    ],
    "log_vars by name": [
        (ADAM, "torch.optim.Adam([*model.parameters(), weighting.log_vars], lr=lr)")
    ],
    "two optimisers": [
        (
            ADAM,
            "torch.optim.Adam(model.parameters(), lr=lr)\n    other = torch.optim.SGD(weighting.parameters(), lr=lr)",
        ),
        (STEP, STEP + "            other.step()\n            other.zero_grad()\n"),
    ],
    "a module list": [
        (ADAM, "torch.optim.Adam(nn.ModuleList([model, weighting]).parameters(), lr=lr)")
    ],
    "zero_grad after the step": [
        (
            STEP,
            "            loss.backward()\n            optimizer.step()\n            optimizer.zero_grad()\n",
        )
    ],
    "zero_grad on the modules": [
        ("optimizer.zero_grad()", "model.zero_grad(); weighting.zero_grad()")
    ],
    "clipped gradients": [
        (
            "            optimizer.step()\n",
            "            nn.utils.clip_grad_norm_(model.parameters(), 5.0)\n            optimizer.step()\n",
        )
    ],
    "a schedule": [
        (
            ADAM,
            ADAM + "\n    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)",
        ),
        (WEIGHTS, WEIGHTS + "\n        schedule.step()"),
    ],
    "training mode": [
        (
            "    for epoch in range(epochs):\n",
            "    model.train()\n    for epoch in range(epochs):\n",
        )
    ],
    "batch norm": [(ENCODER, ENCODER.replace("nn.ReLU()", "nn.BatchNorm2d(8), nn.ReLU()"))],
    "dropout": [(ENCODER, ENCODER + "            nn.Dropout2d(0.2),\n")],
    "down and up again": [
        (
            ENCODER,
            ENCODER
            + "            nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2, mode='bilinear'),\n",
        )
    ],
    "five times halved": [
        (ENCODER, ENCODER + "            nn.MaxPool2d(32), nn.Upsample(scale_factor=32),\n")
    ],
    "transposed convolution": [
        (
            ENCODER,
            ENCODER
            + "            nn.Conv2d(8, 8, 4, stride=2, padding=1), nn.ReLU(), nn.ConvTranspose2d(8, 8, 4, stride=2, padding=1),\n",
        )
    ],
    "interpolated to the picture": [
        (ENCODER, ENCODER.replace("padding=1", "padding=1, stride=2")),
        (
            OUTPUTS,
            "        def up(m):\n            return F.interpolate(m, size=x.shape[-2:], mode='bilinear', align_corners=False)\n"
            + OUTPUTS.replace("self.seg(h)", "up(self.seg(h))").replace(
                "self.depth(h)", "up(self.depth(h))"
            ),
        ),
    ],
    "maximum pooling for detection": [("h.mean((2, 3))", "h.amax((2, 3))")],
    "positive depth": [('"depth": self.depth(h)', '"depth": F.softplus(self.depth(h))')],
    "adaptive pooling": [("h.mean((2, 3))", "F.adaptive_avg_pool2d(h, 1).flatten(1)")],
    "one stacked product": [
        (
            LOOP,
            "        losses = torch.stack(losses)\n        return (torch.exp(-self.log_vars) * losses + self.log_vars).sum()\n",
        )
    ],
    "two sums": [
        (
            LOOP,
            "        return sum(l * w for l, w in zip(losses, (-self.log_vars).exp())) + self.log_vars.sum()\n",
        )
    ],
    "by index": [
        (
            LOOP,
            "        total = self.log_vars.sum()\n        for i in range(len(losses)):\n            total = total + losses[i] / self.log_vars[i].exp()\n        return total\n",
        )
    ],
    "dot product": [
        (
            LOOP,
            "        losses = torch.stack([*losses])\n        return losses @ torch.exp(-self.log_vars).to(losses) + self.log_vars.sum()\n",
        )
    ],
    "new_zeros": [(PARAMETER, "nn.Parameter(torch.full((num_tasks,), 0.0))")],
    "focal by log_softmax": [
        (
            '    ce = F.cross_entropy(logits, target, reduction="none")\n    p = torch.exp(-ce)\n',
            "    log_p = logits.log_softmax(1).gather(1, target[:, None])[:, 0]\n    p, ce = log_p.exp(), -log_p\n",
        )
    ],
    "focal by softmax": [
        (
            '    ce = F.cross_entropy(logits, target, reduction="none")\n    p = torch.exp(-ce)\n',
            "    p = logits.softmax(1)[torch.arange(len(target)), target]\n    ce = -torch.log(p)\n",
        )
    ],
    "focal sum over count": [(FOCAL, "((1 - p) ** 2 * ce).sum() / len(target)")],
    "L1 by hand": [(L1, '(out["depth"] - targets["depth"]).abs().mean()')],
    "modules for losses": [
        (CE, 'nn.CrossEntropyLoss()(out["segmentation"], targets["segmentation"])'),
        (L1, 'nn.L1Loss()(out["depth"], targets["depth"])'),
    ],
    "history of tensors": [
        (EACH, "            rows.append(torch.stack(losses).detach())\n"),
        (ROWS, 'history["task_losses"].append(torch.stack(rows).mean(0))'),
        (WEIGHTS, 'history["weights"].append(torch.exp(-weighting.log_vars).detach().clone())'),
        (TOTALS, 'history["loss"].append(torch.tensor(totals).mean())'),
    ],
    "history of arrays": [
        ("import torch\n", "import torch\nimport numpy as np\n"),
        (ROWS, 'history["task_losses"].append(np.array(rows).mean(0))'),
        (
            WEIGHTS,
            'history["weights"].append(torch.exp(-weighting.log_vars).detach().numpy().copy())',
        ),
        (TOTALS, 'history["loss"].append(np.mean(totals))'),
    ],
    "one tensor at the end": [
        (
            "    return history",
            "    return {name: torch.tensor(rows) for name, rows in history.items()}",
        )
    ],
    "tuples": [
        (
            WEIGHTS,
            'history["weights"].append(tuple(float(torch.exp(-s)) for s in weighting.log_vars))',
        )
    ],
    "batches in another order": [("for x, targets in data:", "for x, targets in reversed(data):")],
    "more in the history": [
        ("    return history", '    history["epochs"] = list(range(epochs))\n    return history')
    ],
    "running sums": [
        (
            EACH,
            EACH
            + "            sums = [a + b for a, b in zip(sums, rows[-1])] if len(rows) > 1 else rows[-1]\n",
        ),
        (ROWS, 'history["task_losses"].append([s / len(data) for s in sums])'),
    ],
    "a dictionary of losses": [
        (
            "loss = weighting(losses)",
            "named = dict(zip(('segmentation', 'depth', 'detection'), losses))\n            loss = weighting(list(named.values()))",
        )
    ],
}
RIGHT = {name: edited(*changes) for name, changes in SAME.items()}

MUTATIONS = [
    (OUTPUTS, OUTPUTS.replace("self.seg(h)", "self.seg(h).softmax(1)")),
    (OUTPUTS, OUTPUTS.replace("self.det(h.mean((2, 3)))", "self.det(h.mean((2, 3))).softmax(1)")),
    (OUTPUTS, "        return self.seg(h), self.depth(h), self.det(h.mean((2, 3)))"),
    (OUTPUTS, '        return {"segmentation": self.seg(h), "depth": self.depth(h)}'),
    (OUTPUTS, OUTPUTS.replace('"detection"', '"det"')),
    (OUTPUTS, OUTPUTS.replace("self.depth(h)", "self.depth(h)[:, 0]")),
    (OUTPUTS, OUTPUTS.replace("self.seg(h)", "self.seg(h)[..., ::2, ::2]")),
    (OUTPUTS, OUTPUTS.replace("self.depth(h)", "0 * self.depth(h) + 1")),
    (OUTPUTS, OUTPUTS.replace("self.seg(h)", "self.seg(h).argmax(1)")),
    (
        OUTPUTS,
        OUTPUTS.replace("(h.mean((2, 3)))", "(h.mean((2, 3)).detach())")
        .replace("seg(h)", "seg(h.detach())")
        .replace("depth(h)", "depth(h.detach())"),
    ),
    (OUTPUTS, "        pass"),
    ("nn.Conv2d(8, 4, 1)", "nn.Conv2d(8, 3, 1)"),
    ("nn.Linear(8, 3)", "nn.Linear(8, 2)"),
    (ENCODER, ENCODER.replace("padding=1", "padding=0")),
    (TERM, "torch.exp(s) * loss + s"),
    (TERM, "torch.exp(-s) * loss"),
    (TERM, "torch.exp(-s) * loss - s"),
    (TERM, "0.5 * torch.exp(-s) * loss + 0.5 * s"),
    (TERM, "torch.exp(-s) * loss + 0.5 * s"),
    (TERM, "0.5 * torch.exp(-s) * loss + s"),
    (TERM, "torch.exp(-2 * s) * loss + s"),
    (TERM, "loss / (2 * s ** 2) + s"),
    (TERM, "loss / s ** 2 + s"),
    (TERM, "s * loss"),
    (TERM, "loss"),
    (TERM, "torch.exp(-s) * loss + torch.log1p(torch.exp(s))"),
    (TERM, "torch.exp(-s) * loss + s.abs()"),
    (TERM, "torch.exp(-s) * loss + s ** 2"),
    (TERM, "torch.exp(-s.detach()) * loss + s"),
    (TERM, "torch.exp(-s.detach()) * loss + s.detach()"),
    (TERM, "torch.exp(-s) * loss.detach() + s"),
    (TERM, "torch.exp(-s) * loss.item() + s"),
    (TERM, "torch.relu(torch.exp(-s) * loss + s)"),
    (LOOP, LOOP.replace("return total", "return total / len(losses)")),
    (LOOP, LOOP.replace("return total", "return total.item()")),
    (LOOP, LOOP.replace("return total", "return total.detach()")),
    (LOOP, LOOP.replace("return total", "return -total")),
    (LOOP, "        return torch.exp(-self.log_vars) * torch.stack(losses) + self.log_vars\n"),
    (LOOP, "        return ((-self.log_vars).softmax(0) * torch.stack(losses)).sum()\n"),
    (LOOP, "        pass\n"),
    (PARAMETER, "nn.Parameter(torch.ones(num_tasks))"),
    (PARAMETER, "nn.Parameter(torch.randn(num_tasks))"),
    (PARAMETER, "nn.Parameter(torch.zeros(3))"),
    (PARAMETER, "torch.zeros(num_tasks)"),
    ("self.log_vars", "self.s"),
    (ADAM, "torch.optim.Adam(model.parameters(), lr=lr)"),
    (ADAM, "torch.optim.Adam(weighting.parameters(), lr=lr)"),
    (ADAM, ADAM.replace("lr=lr", "lr=1e-3")),
    (ADAM, ADAM.replace("lr=lr", "lr=lr, maximize=True")),
    (STEP, STEP.replace("            optimizer.zero_grad()\n", "")),
    (STEP, STEP.replace("            optimizer.step()\n", "")),
    (STEP, STEP.replace("            loss.backward()\n", "")),
    (STEP, STEP.replace("loss.backward()", "sum(losses).backward()")),
    (FOCAL, "((1 - p) * ce).mean()"),
    (FOCAL, "(0.25 * (1 - p) ** 2 * ce).mean()"),
    (FOCAL, "((1 - p) ** 2 * ce).sum()"),
    (FOCAL, "(p ** 2 * ce).mean()"),
    (FOCAL, "ce.mean()"),
    (FOCAL, "((1 - p) ** 2).mean() * ce.mean()"),
    (FOCAL, "(1 - torch.exp(-ce.mean())) ** 2 * ce.mean()"),
    (L1, L1.replace("l1_loss", "mse_loss")),
    (L1, L1.replace("l1_loss", "smooth_l1_loss")),
    (L1, L1.replace("l1_loss", "mse_loss") + " ** 0.5"),
    (L1, '(out["depth"] - targets["depth"]).abs().sum()'),
    (L1, L1.replace('targets["depth"]', 'targets["depth"][:1]')),
    (CE, CE.replace('out["segmentation"]', 'out["segmentation"].softmax(1)')),
    (CE, CE.replace('targets["segmentation"])', 'targets["segmentation"], reduction="sum")')),
    (DET, 'F.cross_entropy(out["detection"], targets["detection"])'),
    (f"{CE},\n                {L1}", f"{L1},\n                {CE}"),
    (EACH, "            rows.append([l.item() for l in losses[::-1]])\n"),
    (
        EACH,
        "            rows.append([(l * torch.exp(-s)).item() for l, s in zip(losses, weighting.log_vars)])\n",
    ),
    (EACH, "            rows = [[l.item() for l in losses]]\n"),
    (EACH, EACH + "            break\n"),
    (ROWS, 'history["task_losses"].append([sum(column) for column in zip(*rows)])'),
    (ROWS, 'history["task_losses"] += rows'),
    (ROWS, 'history["task_losses"] = [sum(column) / len(column) for column in zip(*rows)]'),
    (TOTALS, 'history["loss"].append(sum(totals))'),
    (TOTALS, 'history["loss"].append(totals[-1])'),
    (TOTALS, 'history["loss"].append(sum(map(sum, rows)) / len(rows))'),
    (WEIGHTS, 'history["weights"].append(torch.exp(weighting.log_vars).tolist())'),
    (WEIGHTS, 'history["weights"].append(weighting.log_vars.tolist())'),
    (WEIGHTS, 'history["weights"].append((0.5 * torch.exp(-weighting.log_vars)).tolist())'),
    (WEIGHTS, 'history["weights"].append((-weighting.log_vars).softmax(0).tolist())'),
    (WEIGHTS, 'history["weights"].append((3 * (-weighting.log_vars).softmax(0)).tolist())'),
    (
        WEIGHTS,
        'history["weights"].append(torch.exp(-weighting.log_vars).detach())\n        history["weights"][-1] += epoch',
    ),
    (WEIGHTS, "pass"),
    (
        "        totals, rows = [], []\n",
        '        totals, rows = [], []\n        history["weights"].append(torch.exp(-weighting.log_vars).tolist())\n@@',
    ),
    ("range(epochs)", "range(5)"),
    ("range(epochs)", "range(epochs - 1)"),
    ("    return history", "    return None"),
    ("    return history", '    return history["loss"]'),
    ("    return history", '    return {"loss": history["loss"]}'),
    (TERM, "torch.exp(s) * loss - s"),
    (TERM, "loss / (2 * s ** 2) + torch.log(s)"),
    (
        OUTPUTS,
        OUTPUTS.replace("self.det(h.mean((2, 3)))", "h.flatten(1) @ torch.ones(8 * 32 * 32, 3)"),
    ),
]


def mutant(old: str, new: str) -> str:
    if new.endswith("@@"):  # recorded before the epoch, so not after it
        return edited((old, new[:-2])).replace(f"        {WEIGHTS}\n    return", "    return")
    return edited((old, new))


WRONG = {
    f"{n} {' '.join(new.split())[:60]}": mutant(old, new) for n, (old, new) in enumerate(MUTATIONS)
}


def wrong(old: str, new: str) -> str:
    """The wrong variant of this mutation."""
    return list(WRONG.values())[MUTATIONS.index((old, new))]


def told(old: str, new: str, diagnosis: str) -> tuple[str, str]:
    return wrong(old, new), diagnosis


NAMED = [
    told(OUTPUTS, OUTPUTS.replace("self.seg(h)", "self.seg(h).softmax(1)"), "a softmax is applied"),
    told(OUTPUTS, MUTATIONS[2][1], "returns a tuple"),
    told(
        OUTPUTS, OUTPUTS.replace("self.depth(h)", "0 * self.depth(h) + 1"), "same for any picture"
    ),
    told(OUTPUTS, MUTATIONS[9][1], "No parameter is shared"),
    told(OUTPUTS, "        pass", "Not attempted"),
    told(TERM, "torch.exp(s) * loss + s", "It is e^−s"),
    told(OUTPUTS, MUTATIONS[5][1], "asked is (N, 1, H, W)"),
    told(OUTPUTS, MUTATIONS[-1][1], "A square picture passes"),
    told(TERM, "torch.exp(s) * loss - s", "wrong sign throughout"),
    told(TERM, "loss / (2 * s ** 2) + torch.log(s)", "a logarithm already"),
    told(TERM, "torch.exp(-s) * loss", "The term + s is missing"),
    told(TERM, "torch.exp(-s) * loss - s", "The sign of s"),
    told(TERM, "0.5 * torch.exp(-s) * loss + 0.5 * s", "All is halved"),
    told(TERM, "torch.exp(-s) * loss + 0.5 * s", "not + s / 2"),
    told(TERM, "0.5 * torch.exp(-s) * loss + s", "The losses are halved"),
    told(TERM, "torch.exp(-2 * s) * loss + s", "no factor 2"),
    told(TERM, "loss / s ** 2 + s", "1 / s²"),
    told(TERM, "s * loss", "s itself is the weight"),
    told(TERM, "loss", "plain sum"),
    told(TERM, "torch.exp(-s) * loss + torch.log1p(torch.exp(s))", "log(1 + "),
    told(TERM, "torch.exp(-s.detach()) * loss + s", "must learn as well"),
    told(TERM, "torch.exp(-s.detach()) * loss + s.detach()", "No gradient reaches log_vars"),
    told(TERM, "torch.exp(-s) * loss.detach() + s", "No gradient reaches the losses"),
    told(LOOP, LOOP.replace("return total", "return total / len(losses)"), "mean over the tasks"),
    told(LOOP, LOOP.replace("return total", "return total.detach()"), "No gradient arrives"),
    told(LOOP, LOOP.replace("return total", "return total.item()"), "No gradient arrives"),
    told(LOOP, LOOP.replace("return total", "return -total"), "negative"),
    told(LOOP, MUTATIONS[37][1], "One number per task"),
    told(LOOP, MUTATIONS[38][1], "softmax of −s"),
    told(PARAMETER, "torch.zeros(num_tasks)", "no parameter called log_vars"),
    told("self.log_vars", "self.s", "no parameter called log_vars"),
    told(ADAM, "torch.optim.Adam(model.parameters(), lr=lr)", "log_vars stays"),
    told(ADAM, "torch.optim.Adam(weighting.parameters(), lr=lr)", "A parameter of the model stays"),
    told(ADAM, ADAM.replace("lr=lr", "lr=lr, maximize=True"), "do not fall"),
    told(STEP, STEP.replace("            optimizer.zero_grad()\n", ""), "pile up"),
    told(FOCAL, "((1 - p) * ce).mean()", "γ = 1"),
    told(FOCAL, "(0.25 * (1 - p) ** 2 * ce).mean()", "α = 0.25"),
    told(FOCAL, "((1 - p) ** 2 * ce).sum()", "summed over the examples"),
    told(FOCAL, "(p ** 2 * ce).mean()", "wrong classes"),
    told(FOCAL, "ce.mean()", "by cross-entropy"),
    told(FOCAL, "(1 - torch.exp(-ce.mean())) ** 2 * ce.mean()", "of the batch's mean"),
    told(L1, L1.replace("l1_loss", "mse_loss"), "squared error"),
    told(L1, L1.replace("l1_loss", "smooth_l1_loss"), "smooth L1"),
    told(CE, CE.replace('out["segmentation"]', 'out["segmentation"].softmax(1)'), "has its own"),
    told(DET, 'F.cross_entropy(out["detection"], targets["detection"])', "by cross-entropy"),
    told(EACH, "            rows.append([l.item() for l in losses[::-1]])\n", "reverse order"),
    told(EACH, "            rows = [[l.item() for l in losses]]\n", "Only the last batch"),
    told(EACH, EACH + "            break\n", "Only the first batch"),
    told(ROWS, 'history["task_losses"].append([sum(column) for column in zip(*rows)])', "added up"),
    told(ROWS, 'history["task_losses"] += rows', "one per epoch"),
    told(TOTALS, 'history["loss"].append(sum(map(sum, rows)) / len(rows))', "plain sum"),
    told(
        WEIGHTS,
        'history["weights"].append(torch.exp(weighting.log_vars).tolist())',
        "e^s, the variances",
    ),
    told(WEIGHTS, 'history["weights"].append(weighting.log_vars.tolist())', "as s"),
    told(
        WEIGHTS,
        'history["weights"].append((0.5 * torch.exp(-weighting.log_vars)).tolist())',
        "Kendall",
    ),
    told(
        WEIGHTS,
        'history["weights"].append((-weighting.log_vars).softmax(0).tolist())',
        "add up to 1",
    ),
    told("        totals, rows = [], []\n", MUTATIONS[86][1], "before the epoch"),
    told("range(epochs)", "range(5)", "one per epoch"),
    told("    return history", '    return {"loss": history["loss"]}', "The history has no"),
]
