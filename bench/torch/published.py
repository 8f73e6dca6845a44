"""What the published networks gave, in the two forms of this project's parity
fixtures: complete ones in a folder of their own, and compact ones (a grid of
logits, some gradients) in `tests/golden/parity`."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import torch

import fixture

COMPACT = Path(__file__).resolve().parents[2] / "tests/golden/parity"
SIZE, BATCH = 224, 2

# Relative differences of the loss that count as equal; 1e-5 for the others.
LOSS = {"dcsau_net": 1e-4, "m2snet": 1e-4, "cmunext_l": 1e-4}


@dataclass
class Published:
    """Logits are values at positions of the flattened maps; bounds are those of
    eval logits, train logits (absolute), loss, the gradient norms of 99 % of
    the parameters, and all gradient norms (relative). `tensors` (name and
    shape) and `parameters` are known where the fixture is complete."""

    bounds: tuple[float, float, float, float, float]
    eval_logits: tuple[torch.Tensor, torch.Tensor]
    train_logits: tuple[torch.Tensor, torch.Tensor]
    loss: float
    gradient_norms: dict[str, float]
    largest_norm: float
    tensors: dict[str, list[int]] | None = None
    parameters: int | None = None


def complete(folder, name):
    """From NAME.seed1.json, NAME.seed1.safetensors and bounds.csv."""
    facts = json.loads((folder / f"{name}.seed1.json").read_text(encoding="utf-8"))
    maps = fixture.read_tensors(folder / f"{name}.seed1.safetensors")
    with open(folder / "bounds.csv", newline="", encoding="utf-8") as lines:
        row = next(row for row in csv.DictReader(lines) if row["fixture"] == name)
    absolute = (float(row[f"{mode}_logits_max_abs"]) for mode in ("eval", "train"))
    relative = (float(row[f"gradient_norm_rel_{part}"]) for part in ("99pct", "all"))

    def logits(key):
        return torch.arange(maps[key].numel()), maps[key].flatten()

    # No gradient and a gradient of 0 are the same.
    norms = {parameter: norm or 0.0 for parameter, norm in facts["grad_norms"].items()}
    return Published(
        (*absolute, LOSS.get(name, 1e-5), *relative),
        logits("eval_logits"),
        logits("train_logits"),
        facts["loss"],
        norms,
        max(norms.values()),
        dict(facts["tensors"]),
        facts["params"],
    )


def compact(folder, name):
    """From NAME.json."""
    facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))

    def logits(key):
        positions = torch.tensor([int(position) for position in facts[key]])
        return positions, torch.tensor(list(facts[key].values()))

    return Published(
        tuple(facts["bounds"][key] for key in ("eval", "train", "loss", "most", "all")),
        logits("eval_logits"),
        logits("train_logits"),
        facts["losses"]["loss"],
        {parameter: norm or 0.0 for parameter, norm in facts["gradient_norms"].items()},
        facts["largest"],
    )
