"""What the networks in PyTorch (bench/torch) give beyond the parity fixtures: for
other seeds of the fill rule, other batches and other sizes of images.

    python tests/golden/forward/make.py     # writes logits.json

Made with torch 2.9.0. `bench/torch/check.py` holds those networks against the
published ones at seed 1, batch 2 and 224 pixels. Evaluation, f32, one thread.
"""

import json
import pathlib
import sys

import numpy as np
import torch

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "bench/torch"))

import fixture
from networks import NETWORKS, build

# Networks that take rectangles here, but not in bench/torch.
SQUARE = {"missformer"}

# Values of each case that are kept.
KEPT = 24


def cases(name, entry):
    """Seed, batch, height and width: the smallest size; and another one,
    rectangular where the network takes it, and odd."""
    least, step = entry.size_min, entry.size_multiple
    if entry.sized or name in SQUARE:
        other = (least + step, least + step)
    else:
        other = (least + 13, least + 6) if step == 1 else (least, least + step)
    return [(2, 3, least, least), (3, 1, *other)]


def kept(logits):
    """Shape and norm, and values spread over all of them."""
    flat = logits.contiguous().numpy().reshape(-1)
    at = [index * 2654435761 % flat.size for index in range(KEPT)]
    return {
        "shape": list(logits.shape),
        "norm": float(np.sqrt(np.sum(flat.astype(np.float64) ** 2))),
        "largest": float(str(np.abs(flat).max())),
        "values": [float(str(flat[index])) for index in at],
    }


@torch.inference_mode()
def main():
    torch.set_num_threads(1)
    lines = []
    for name, entry in NETWORKS.items():
        rows = []
        for seed, batch, height, width in cases(name, entry):
            network = build(name, height, drop_path=0.0).eval()
            fixture.fill(network, name, seed)
            images = fixture.unit("input", (batch, 3, height, width), seed) * 2
            row = {"seed": seed, "logits": kept(network(images))}
            rows.append("  " + json.dumps(row, separators=(",", ":")))
        lines.append(f"{json.dumps(name)}: [\n" + ",\n".join(rows) + "\n]")
    with open(HERE / "logits.json", "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
