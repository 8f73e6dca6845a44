"""Times single operations in PyTorch (ATen), those that bench/ops.toml lists.

    python bench/torch/ops.py [--threads N] [--device cpu|cuda] [--only WORD]

Prints one line of JSON for each operation: minimum and median of the forward
pass and of the gradients of all that an optimizer or an earlier layer wants,
ms, or why there is none. Each is repeated behind a run that is not timed.
"""

import argparse
import json
import statistics
import sys
import time
import tomllib
from pathlib import Path

import torch
from torch.nn import functional as F

import fixture

LIST = Path(__file__).parent.parent / "ops.toml"
# As on the other side: repeats, and the seconds behind which there are no more.
FEWEST, MOST, ENOUGH = 3, 30, 1.0


class Case:
    """An operation with its inputs; those in `leaves` get gradients."""

    def __init__(self, spec, device):
        self.spec = spec
        self.device = device
        self.leaves = []

    def random(self, *shape):
        return torch.empty(*shape, device=self.device).uniform_(-1, 1)

    def leaf(self, *shape):
        tensor = self.random(*shape).requires_grad_()
        self.leaves.append(tensor)
        return tensor

    def build(self):
        """The operation as a function without arguments."""
        return getattr(self, self.spec["kind"].replace("-", "_"))(self.spec)

    def convolution(self, spec):
        _, channels, *_ = spec["input"]
        output, kernel, groups = spec["output"], spec["kernel"], spec.get("groups", 1)
        transposed = spec.get("transposed", False)
        first, second = (channels, output) if transposed else (output, channels)
        x = self.leaf(*spec["input"])
        weight = self.leaf(first, second // groups, kernel, kernel)
        bias = self.leaf(output) if spec.get("bias") else None
        form = {name: spec.get(name, default) for name, default in (("stride", 1), ("padding", 0), ("dilation", 1))}
        function = F.conv_transpose2d if transposed else F.conv2d
        return lambda: function(x, weight, bias, groups=groups, **form)

    def batch_norm(self, spec):
        channels = spec["input"][1]
        x, weight, bias = self.leaf(*spec["input"]), self.leaf(channels), self.leaf(channels)
        return lambda: F.batch_norm(x, None, None, weight, bias, training=True)

    def gelu(self, spec):
        x = self.leaf(*spec["input"])
        return lambda: F.gelu(x)

    def sample(self, spec):
        batch, channels, height, width = spec["input"]
        groups = spec["groups"]
        x, offset = self.leaf(*spec["input"]), self.leaf(batch, 8 * groups, height, width)

        def centres(side):
            return torch.arange(2 * side, device=self.device) * 0.5 + 0.25

        grid = torch.stack(torch.meshgrid(centres(height), centres(width), indexing="ij")[::-1], -1)
        sides = torch.tensor([2 / width, 2 / height], device=self.device)

        def run():
            moved = offset.reshape(batch, 2, groups, 2, 2, height, width).permute(0, 2, 5, 3, 6, 4, 1)
            moved = moved.reshape(batch * groups, 2 * height, 2 * width, 2)
            maps = x.reshape(batch * groups, channels // groups, height, width)
            fine = F.grid_sample(maps, (moved + grid) * sides - 1, padding_mode="border", align_corners=False)
            return fine.reshape(batch, channels, 2 * height, 2 * width)

        return run

    def resize(self, spec):
        x = self.leaf(*spec["input"])
        side = spec["output"]
        return lambda: F.interpolate(x, (side, side), mode="bilinear", align_corners=spec["aligned"])

    def attention(self, spec):
        batch, heads, queries, features = spec["input"]
        keys = spec["keys"]
        q = self.leaf(*spec["input"])
        k, v = (self.leaf(batch, heads, keys, features) for _ in range(2))
        bias = self.leaf(1, heads, queries, keys) if spec.get("bias") else None

        def run():
            scores = (q * features**-0.5) @ k.transpose(2, 3)
            return torch.softmax(scores if bias is None else scores + bias, -1) @ v

        return run

    def layer_norm(self, spec):
        features = spec["input"][-1]
        x, weight, bias = self.leaf(*spec["input"]), self.leaf(features), self.leaf(features)
        return lambda: F.layer_norm(x, (features,), weight, bias)

    def softmax(self, spec):
        x = self.leaf(*spec["input"])
        return lambda: torch.softmax(x, -1)

    def adamw(self, spec):
        parameter = self.random(*spec["input"]).requires_grad_()
        parameter.grad = self.random(*spec["input"])
        optimizer = torch.optim.AdamW([parameter], lr=1e-4, weight_decay=1e-4)
        return optimizer.step

    def loss(self, spec):
        logits = self.leaf(*spec["input"])
        target = torch.rand(*spec["input"], device=self.device)
        return lambda: fixture.loss(logits, target)


def timed(case, run):
    """ms of forward and backward of every repeat."""
    wait = torch.cuda.synchronize if case.device.type == "cuda" else lambda: None
    slope = None
    times = []
    begun = time.perf_counter()
    while len(times) <= FEWEST or (len(times) <= MOST and time.perf_counter() - begun < ENOUGH):
        for leaf in case.leaves:
            leaf.grad = None
        wait()
        start = time.perf_counter()
        y = run()
        wait()
        middle = time.perf_counter()
        took = [1e3 * (middle - start)]
        if case.leaves:
            slope = torch.ones_like(y) if slope is None else slope
            start = time.perf_counter()
            y.backward(slope)
            wait()
            took.append(1e3 * (time.perf_counter() - start))
        times.append(took)
    return times[1:]


def spread(values):
    return {"min": round(min(values), 4), "median": round(statistics.median(values), 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--only", default="", help="operations whose name holds this")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    with open(LIST, "rb") as file:
        operations = tomllib.load(file)["operation"]
    for spec in operations:
        if arguments.only not in spec["name"]:
            continue
        case = Case(spec, torch.device(arguments.device))
        try:
            columns = list(zip(*timed(case, case.build())))
            line = {f"{name}_ms": spread(values) for name, values in zip(("forward", "backward"), columns)}
        except RuntimeError as error:  # The others follow.
            line = {"failure": str(error).splitlines()[0]}
        print(json.dumps({"name": spec["name"], **line, "versions": f"torch {torch.__version__}"}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
