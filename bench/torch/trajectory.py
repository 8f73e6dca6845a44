"""The losses of training steps that anyone can repeat.

    python bench/torch/trajectory.py MODEL [--steps N] [--lr R] [--size S] [--batch B] [--seed K]
        [--threads N] [--f64] [--write FOLDER]

Weights, images and target come from the rule of `fixture.py`; a step is the loss
(0.5 BCE + 0.5 Dice) of the whole batch in training mode without stochastic
depth, its gradient clipped to a global norm of 1, and AdamW (betas 0.9 and 0.999,
epsilon 1e-8, weight decay 1e-4 on every parameter). Prints one line of JSON: each
step's loss, before it, and the norm of its gradient, before clipping.

`--write` keeps what another implementation starts from and must arrive at:
FOLDER/weights.safetensors, batch.safetensors (`input`, `target`), trajectory.json.
"""

import argparse
import json
import sys
from pathlib import Path

import torch

import fixture
from networks import InvalidModel, build


def train(network, images, target, steps, rate):
    """Loss and gradient norm of each step."""
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-4
    )
    losses, norms = [], []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = fixture.loss(network(images), target)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0).item())
        losses.append(loss.item())
        optimizer.step()
    return losses, norms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="NAME or NAME,option=value,...")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--f64", action="store_true", help="compute in double precision")
    parser.add_argument("--write", type=Path, metavar="FOLDER")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        network = build(arguments.model, arguments.size, drop_path=0.0).train()
    except InvalidModel as error:
        parser.error(str(error))
    names = fixture.fill(network, arguments.model, arguments.seed)
    images, target = fixture.batch(arguments.size, arguments.batch, arguments.seed)
    if arguments.write:
        arguments.write.mkdir(parents=True, exist_ok=True)
        state = network.state_dict()
        fixture.write_tensors(arguments.write / "weights.safetensors", {name: state[name] for name in names})
        fixture.write_tensors(arguments.write / "batch.safetensors", {"input": images, "target": target})
    if arguments.f64:
        network, images, target = network.double(), images.double(), target.double()
    losses, norms = train(network, images, target, arguments.steps, arguments.lr)
    text = json.dumps(
        {
            "model": arguments.model,
            "size": arguments.size,
            "batch": arguments.batch,
            "seed": arguments.seed,
            "lr": arguments.lr,
            "precision": "f64" if arguments.f64 else "f32",
            "losses": losses,
            "gradient_norms": norms,
            "versions": f"torch {torch.__version__}",
        }
    )
    if arguments.write:
        (arguments.write / "trajectory.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    sys.exit(main())
