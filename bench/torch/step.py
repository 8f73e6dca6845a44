"""Times training steps of a network in PyTorch.

    python bench/torch/step.py MODEL SIZE BATCH [STEPS] [--threads N] [--eval]
        [--device cpu|cuda] [--precision f32|tf32|bf16] [--adamw default|foreach|fused] [--compile]

A step is forward and loss (0.5 BCE + 0.5 Dice), backward, clipping to a global
norm of 1 and AdamW (`update`). Prints one line of JSON: of STEPS steps behind
some that warm up, minimum and median of each part and of the whole in ms, and of
what the processors spent on it (all threads); images per second; the peak of the
process's resident memory, with PyTorch's own libraries, and on a card what the
driver says that it holds there at the end. `--eval` times the
forward pass alone, in evaluation mode.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import nullcontext

import torch

import fixture
from networks import InvalidModel, build

WARM_UP = 2
MEBIBYTE = 2**20


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="NAME or NAME,option=value,...")
    parser.add_argument("size", type=positive)
    parser.add_argument("batch", type=positive)
    parser.add_argument("steps", type=positive, nargs="?", default=5)
    parser.add_argument("--threads", type=positive)
    parser.add_argument("--eval", action="store_true")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--precision", choices=["f32", "tf32", "bf16"], default="f32")
    parser.add_argument("--adamw", choices=["default", "foreach", "fused"], default="default")
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    if arguments.precision == "tf32" and arguments.device == "cpu":
        parser.error("tf32 is a precision of CUDA devices: add --device cuda")
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("this PyTorch sees no CUDA device")
    return parser, arguments


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def host_peak():
    """The largest resident memory so far, MiB; none where Linux does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as lines:
            kibibytes = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None
    return round(kibibytes / 1024)


def card_held():
    """What the driver says that this process holds on the cards, MiB; none where it does not tell."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, check=False).stdout.splitlines()
    except OSError:
        return None
    rows = [[word.strip() for word in line.split(",")] for line in lines]
    held = [int(row[1]) for row in rows if len(row) == 2 and row[0] == str(os.getpid()) and row[1].isdigit()]
    return sum(held) if held else None


class Clock:
    """Reads the time when the device has caught up."""

    def __init__(self, device):
        self.wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
        self.times = []

    def tick(self):
        self.wait()
        self.times.append(time.perf_counter())

    def parts(self):
        """ms between the ticks since the last call."""
        times, self.times = self.times, []
        return [1e3 * (after - before) for before, after in zip(times, times[1:])]


def train_step(network, optimizer, images, target, precision, clock):
    """ms of forward, backward, update."""
    clock.tick()
    optimizer.zero_grad()
    with precision():
        logits = network(images)
    loss = fixture.loss(logits.float(), target)
    loss.item()
    clock.tick()
    loss.backward()
    clock.tick()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()
    clock.tick()
    return clock.parts()


def evaluation(network, images, precision, clock):
    """ms of the forward pass."""
    clock.tick()
    with torch.inference_mode(), precision():
        network(images)
    clock.tick()
    return clock.parts()


def spread(values):
    return {"min": round(min(values), 2), "median": round(statistics.median(values), 2)}


def main():
    parser, arguments = read_arguments()
    device = torch.device(arguments.device)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    if device.type == "cuda":
        single = "tf32" if arguments.precision == "tf32" else "ieee"
        torch.backends.cuda.matmul.fp32_precision = single
        torch.backends.cudnn.conv.fp32_precision = single

    def precision():
        mixed = arguments.precision == "bf16"
        return torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext()

    try:
        network = build(arguments.model, arguments.size).to(device)
    except InvalidModel as error:
        parser.error(str(error))
    if arguments.batch < getattr(network, "SMALLEST_BATCH", 1) and not arguments.eval:
        parser.error(f"`{arguments.model}` trains on batches of {network.SMALLEST_BATCH} or more")
    images = torch.empty(arguments.batch, 3, arguments.size, arguments.size, device=device).uniform_(-1, 1)
    target = torch.rand(arguments.batch, 1, arguments.size, arguments.size, device=device)
    network.train(not arguments.eval)
    choice = {} if arguments.adamw == "default" else {arguments.adamw: True}
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-4, **choice)
    runs = torch.compile(network) if arguments.compile else network
    clock = Clock(device)

    def step():
        if arguments.eval:
            return evaluation(runs, images, precision, clock)
        return train_step(runs, optimizer, images, target, precision, clock)

    for _ in range(WARM_UP):
        step()
    timed, busy = [], []
    for _ in range(arguments.steps):
        before = time.process_time()
        timed.append(step())
        busy.append(1e3 * (time.process_time() - before))
    totals = [sum(parts) for parts in timed]
    names = ["evaluation"] if arguments.eval else ["forward", "backward", "update"]
    result = {
        "model": arguments.model,
        "size": arguments.size,
        "batch": arguments.batch,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": arguments.precision,
        "adamw": arguments.adamw,
        "compile": arguments.compile,
        "steps": arguments.steps,
        **{f"{name}_ms": spread(values) for name, values in zip(names, zip(*timed))},
        "step_ms": spread(totals),
        "cpu_ms": spread(busy),
        "images_per_second": {
            "max": round(1e3 * arguments.batch / min(totals), 3),
            "median": round(1e3 * arguments.batch / statistics.median(totals), 3),
        },
        "peak_mib": host_peak(),
        "versions": f"torch {torch.__version__}",
    }
    if device.type == "cuda":
        result["card_mib"] = card_held()
        result["device_peak_mib"] = round(torch.cuda.max_memory_allocated() / MEBIBYTE)
    print(json.dumps(result))


if __name__ == "__main__":
    sys.exit(main())
