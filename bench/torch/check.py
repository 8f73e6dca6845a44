"""Holds the networks of this folder against the fixtures of the published ones.

    python bench/torch/check.py [--parity FOLDER] [--threads N] [FIXTURE...]

FOLDER (default: `parity` in the folder that DYGL_SHARED names) has, for each
fixture, what the published network gave for weights and inputs that `fixture.py`
makes anew, and `bounds.csv` with what counts as equal. Prints a table; each
difference stands before its bound. Exit code 1 if one is beyond it, 2 if there
are no fixtures.
"""

import argparse
import csv
import json
import math
import os
import sys
from pathlib import Path

import torch

import fixture
from networks import build

# Fixture and model.
FIXTURES = {
    "dyglnet": "dyglnet",
    "dyglnet_bi": "dyglnet,upsample=bilinear",
    "dyglnet_tconv": "dyglnet,upsample=transposed",
    "dyglnet_wo_dyt": "dyglnet,norm=group",
    "dyglnet_wo_dc": "dyglnet,local=none",
    "dyglnet_wo_sa": "dyglnet,global=none",
    "dyglnet_split_dc": "dyglnet,split=local",
    "dyglnet_split_sa": "dyglnet,split=global",
    "unet": "unet,variant=table-exact",
    "unet_p0": "unet",
    "attention_unet": "attention_unet",
    "unetpp": "unetpp",
    "cmunext_l": "cmunext_l",
    "dcsau_net": "dcsau_net",
    "swin_unet": "swin_unet",
    "missformer": "missformer",
    "m2snet": "m2snet,ones=dense",
    "fat_net": "fat_net",
    "hiformer_b": "hiformer_b",
    "h2former": "h2former",
    "bef_unet": "bef_unet",
}

# Relative differences of the loss; 1e-5 for the others.
LOSS = {"dcsau_net": 1e-4, "m2snet": 1e-4, "cmunext_l": 1e-4}

# Rounding alone moves the f32 gradients of this network by several percent (a
# batch norm over two values), so they are computed in f64.
GRADIENTS_IN_F64 = {"dcsau_net"}

HEAD = (
    f"{'fixture':17} {'eval':>8} {'bound':>7} {'train':>9} {'bound':>7} {'loss':>9} {'bound':>6}"
    f" {'gradients':>10} {'bound':>7} {'all':>8} {'bound':>7}"
)


class Mismatch(Exception):
    """The network here has other tensors than the published one."""


def compare_tensors(network, tensors, expected):
    """Names and shapes of the state dict, and the number of parameters."""
    published = {name: shape for name, shape in expected["tensors"]}
    if tensors != published:
        odd = [f"{name} {shape}" for name, shape in tensors.items() if published.get(name) != shape]
        lacks = [f"{name} {shape}" for name, shape in published.items() if tensors.get(name) != shape]
        raise Mismatch(f"has {', '.join(odd[:4]) or 'no others'}; lacks {', '.join(lacks[:4]) or 'none'}")
    params = sum(parameter.numel() for parameter in network.parameters())
    if params != expected["params"]:
        raise Mismatch(f"{params} parameters, not {expected['params']}")


def gradient_norms(network):
    return {
        name: 0.0 if parameter.grad is None else parameter.grad.double().norm().item()
        for name, parameter in network.named_parameters()
    }


def gradient_differences(norms, published):
    """For each parameter the relative difference, less an absolute share for
    gradients whose true value is 0 and which show only rounding."""
    floor = 2e-5 * max(norm or 0.0 for norm in published.values())
    differences = []
    for name, norm in published.items():
        beyond = max(abs(norms[name] - (norm or 0.0)) - floor, 0.0)
        differences.append(beyond / norm if norm else (math.inf if beyond else 0.0))
    return sorted(differences)


def differences(name, folder):
    """(difference, bound) of eval logits, train logits, loss, the gradients of
    99 % of the parameters, and all gradients."""
    model = FIXTURES[name]
    expected = json.loads((folder / f"{name}.seed1.json").read_text(encoding="utf-8"))
    logits = fixture.read_tensors(folder / f"{name}.seed1.safetensors")
    with open(folder / "bounds.csv", newline="", encoding="utf-8") as lines:
        bounds = {row["fixture"]: row for row in csv.DictReader(lines)}[name]

    network = build(model, expected["size"], drop_path=0.0)
    compare_tensors(network, fixture.fill(network, model), expected)
    images, target = fixture.batch(expected["size"], expected["batch"])
    with torch.inference_mode():
        evaluated = network.eval()(images)
    trained = network.train()(images)
    loss = fixture.loss(trained, target)
    if name in GRADIENTS_IN_F64:
        trained = trained.detach()
        network = network.double()
        fixture.loss(network(images.double()), target.double()).backward()
    else:
        loss.backward()
    gradients = gradient_differences(gradient_norms(network), expected["grad_norms"])
    most = gradients[len(gradients) - 1 - len(gradients) // 100]
    return [
        ((evaluated - logits["eval_logits"]).abs().max().item(), float(bounds["eval_logits_max_abs"])),
        ((trained.detach() - logits["train_logits"]).abs().max().item(), float(bounds["train_logits_max_abs"])),
        (abs(loss.item() / expected["loss"] - 1), LOSS.get(name, 1e-5)),
        (most, float(bounds["gradient_norm_rel_99pct"])),
        (gradients[-1], float(bounds["gradient_norm_rel_all"])),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixtures", nargs="*", metavar="FIXTURE", help="default: all")
    parser.add_argument("--parity", type=Path, metavar="FOLDER")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for name in arguments.fixtures:
        if name not in FIXTURES:
            parser.error(f"unknown fixture `{name}`: there are {', '.join(FIXTURES)}")
    folder = arguments.parity
    if folder is None and os.environ.get("DYGL_SHARED"):
        folder = Path(os.environ["DYGL_SHARED"]) / "parity"
    if folder is None or not (folder / "bounds.csv").is_file():
        parser.error(f"no fixtures in {folder}: give --parity FOLDER or set DYGL_SHARED")

    torch.set_num_threads(arguments.threads)
    print(HEAD)
    failed = False
    for name in arguments.fixtures or FIXTURES:
        try:
            found = differences(name, folder)
        except Mismatch as error:
            print(f"{name:17} FAILED: {error}", flush=True)
            failed = True
            continue
        # A NaN is beyond every bound.
        good = all(difference <= bound for difference, bound in found)
        row = " ".join(f"{difference:9.1e} {bound:7.0e}" for difference, bound in found)
        print(f"{name:17} {row} {'' if good else ' FAILED'}".rstrip(), flush=True)
        failed |= not good
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
