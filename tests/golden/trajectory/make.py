"""Five training steps of every network in PyTorch (bench/torch), in f64.

    python tests/golden/trajectory/make.py [MODEL...]      # writes steps.json, or the rows of MODELs

Made with torch 2.9.0. Weights, images and targets by the fill rule, seed 1; a step
is that of `bench/torch/trajectory.py`: 0.5 BCE + 0.5 Dice of the batch, one clip
at norm 1, AdamW, no stochastic depth. Batches of two, except where nothing can
follow: DCSAU-Net normalises over the batch alone, and of two images that leaves
the sign of their difference.

Rates are chosen so that PyTorch's own f32 keeps within 2e-5 of its f64 (the script
refuses others). AdamW's first updates are signs: at the paper's rate of 1e-4,
rounding turns enough of them for DyGLNet at 224 pixels to be 4e-4 away after five
steps, and CMUNeXt, whose gradient is 66 long before clipping, needs 3e-8. Small
images leave batch norms few values: at 32 pixels, DyGLNet in f32 is 5e-4 away even
at 1e-6. FAT-Net at 32 pixels and 1e-5 is 4e-7 away, but by luck: other roundings of
f32 come to 1.5e-4.
"""

import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "bench/torch"))

import fixture
import trajectory
from networks import build

STEPS = 5
# Of PyTorch's f32 from its f64, relative, in a loss.
LIMIT = 2e-5

# Model, side of the images, batch, learning rate.
RUNS = [
    ("unet", 32, 2, 1e-5),
    ("attention_unet", 64, 2, 3e-7),
    ("unetpp", 32, 2, 3e-6),
    ("dcsau_net", 96, 4, 1e-7),
    ("m2snet", 96, 2, 3e-8),
    ("cmunext_l", 96, 2, 3e-8),
    ("missformer", 32, 2, 1e-4),
    ("swin_unet", 64, 2, 1e-4),
    ("hiformer_b", 64, 2, 1e-6),
    ("h2former", 32, 2, 3e-5),
    ("fat_net", 64, 2, 3e-6),
    ("bef_unet", 64, 2, 3e-5),
    ("dyglnet", 64, 2, 3e-7),
    # The paper's size.
    ("unet", 224, 2, 1e-5),
    ("dyglnet", 224, 2, 1e-5),
]


def steps(model, size, batch, rate, kind):
    network = build(model, size, drop_path=0.0).train()
    fixture.fill(network, model)
    images, target = fixture.batch(size, batch)
    return trajectory.train(network.to(kind), images.to(kind), target.to(kind), STEPS, rate)


def row(model, size, batch, rate):
    losses, norms = steps(model, size, batch, rate, torch.float64)
    single, _ = steps(model, size, batch, rate, torch.float32)
    apart = max(abs(a / b - 1) for a, b in zip(single, losses))
    print(f"{model} {size} {rate:g}: f32 {apart:.1e} away", file=sys.stderr, flush=True)
    if not apart <= LIMIT:
        sys.exit(f"{model} at {size} pixels and rate {rate:g}: f32 is {apart:.1e} away, beyond {LIMIT:g}")
    digits = lambda values: [float(f"{value:.10g}") for value in values]
    run = {"model": model, "size": size, "batch": batch, "rate": rate}
    return {**run, "losses": digits(losses), "gradient_norms": digits(norms)}


def main():
    torch.set_num_threads(1)
    path = HERE / "steps.json"
    chosen = sys.argv[1:]
    old = {}
    if chosen:
        old = {(run["model"], run["size"]): run for run in json.loads(path.read_text())}
    rows = []
    for run in RUNS:
        rows.append(row(*run) if not chosen or run[0] in chosen else old[run[:2]])
    lines = [json.dumps(row, separators=(",", ":")) for row in rows]
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
