"""Holds the networks of this folder against the published ones.

    python bench/torch/check.py [--parity FOLDER | --compact] [--threads N] [FIXTURE...]

What the published networks gave for weights and inputs that `fixture.py` makes
anew is read from FOLDER (default: `parity` in the folder that DYGL_SHARED
names), or, where neither is given, from the compact form in this repository.
Prints a table; each difference stands before its bound. Exit code 1 if one is
beyond it.
"""

import argparse
import math
import os
import sys
from pathlib import Path

import torch

import fixture
import published
from networks import build

# Fixture and model.
FIXTURES = [
    ("dyglnet", "dyglnet"),
    ("dyglnet_bi", "dyglnet,upsample=bilinear"),
    ("dyglnet_tconv", "dyglnet,upsample=transposed"),
    ("dyglnet_wo_dyt", "dyglnet,norm=group"),
    ("dyglnet_wo_dc", "dyglnet,local=none"),
    ("dyglnet_wo_sa", "dyglnet,global=none"),
    ("dyglnet_split_dc", "dyglnet,split=local"),
    ("dyglnet_split_sa", "dyglnet,split=global"),
    ("unet_p0", "unet"),
    ("unet", "unet,variant=table-exact"),
    ("attention_unet", "attention_unet"),
    ("unetpp", "unetpp"),
    ("dcsau_net", "dcsau_net"),
    ("m2snet", "m2snet"),
    ("m2snet", "m2snet,ones=dense"),
    ("cmunext_l", "cmunext_l"),
    ("missformer", "missformer"),
    ("swin_unet", "swin_unet"),
    ("hiformer_b", "hiformer_b"),
    ("h2former", "h2former"),
    ("fat_net", "fat_net"),
    ("bef_unet", "bef_unet"),
]

# Rounding alone moves the f32 gradients of this network by several percent (a
# batch norm over two values), so they are computed in f64.
GRADIENTS_IN_F64 = {"dcsau_net"}

# Share of the largest gradient norm that is rounding: biases before batch norm
# have a true gradient of 0.
ROUNDING = 2e-5

HEAD = (
    f"{'model':28} {'eval':>7} {'bound':>7}  {'train':>7} {'bound':>7}  {'loss':>7} {'bound':>7}"
    f"  {'99 % of':>7} {'bound':>7}  {'all grad':>8}{'bound':>7}"
)


class Mismatch(Exception):
    """The network here has other tensors than the published one."""


def compare_tensors(network, tensors, expected):
    """Names and shapes of the state dict, and the number of parameters."""
    if tensors != expected.tensors:
        odd = [f"{name} {shape}" for name, shape in tensors.items() if expected.tensors.get(name) != shape]
        lacks = [f"{name} {shape}" for name, shape in expected.tensors.items() if tensors.get(name) != shape]
        raise Mismatch(f"has {', '.join(odd[:4]) or 'no others'}; lacks {', '.join(lacks[:4]) or 'none'}")
    parameters = sum(parameter.numel() for parameter in network.parameters())
    if parameters != expected.parameters:
        raise Mismatch(f"{parameters} parameters, not {expected.parameters}")


def gradient_differences(network, expected):
    """Relative differences of the gradients' norms, less the rounding, sorted."""
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    differences = []
    for name, wanted in expected.gradient_norms.items():
        if name not in gradients:
            raise Mismatch(f"no parameter {name}")
        norm = 0.0 if gradients[name] is None else gradients[name].double().norm().item()
        beyond = abs(norm - wanted) - ROUNDING * expected.largest_norm
        differences.append(0.0 if beyond <= 0 else beyond / wanted if wanted else math.inf)
    return sorted(differences)


def furthest(logits, expected):
    """Largest absolute difference at the fixture's positions."""
    positions, values = expected
    return (logits.detach().flatten()[positions] - values).abs().max().item()


def differences(name, model, expected):
    """In the order of the bounds."""
    network = build(model, published.SIZE, drop_path=0.0)
    tensors = fixture.fill(network, model)
    if expected.tensors is not None:
        compare_tensors(network, tensors, expected)
    images, target = fixture.batch(published.SIZE, published.BATCH)
    with torch.inference_mode():
        evaluated = furthest(network.eval()(images), expected.eval_logits)
    logits = network.train()(images)
    trained = furthest(logits, expected.train_logits)
    loss = fixture.loss(logits, target)
    lost = abs(loss.item() / expected.loss - 1)
    if name in GRADIENTS_IN_F64:
        network = network.double()
        loss = fixture.loss(network(images.double()), target.double())
    loss.backward()
    gradients = gradient_differences(network, expected)
    most = gradients[len(gradients) - 1 - len(gradients) // 100]
    return evaluated, trained, lost, most, gradients[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fixtures", nargs="*", metavar="FIXTURE", help="default: all")
    parser.add_argument("--parity", type=Path, metavar="FOLDER")
    parser.add_argument("--compact", action="store_true", help="the form in this repository")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    known = [name for name, _ in FIXTURES]
    for name in arguments.fixtures:
        if name not in known:
            parser.error(f"unknown fixture `{name}`: there are {', '.join(known)}")
    folder, read = arguments.parity, published.complete
    if folder is None and os.environ.get("DYGL_SHARED"):
        folder = Path(os.environ["DYGL_SHARED"]) / "parity"
    if arguments.compact or folder is None:
        folder, read = published.COMPACT, published.compact
    elif not (folder / "bounds.csv").is_file():
        parser.error(f"no fixtures in {folder}: give --parity FOLDER or --compact")

    torch.set_num_threads(arguments.threads)
    print(f"{read.__name__} fixtures\n{HEAD}")
    failed = False
    for name, model in FIXTURES:
        if arguments.fixtures and name not in arguments.fixtures:
            continue
        expected = read(folder, name)
        try:
            found = differences(name, model, expected)
        except Mismatch as error:
            print(f"{model:28} FAILED: {error}", flush=True)
            failed = True
            continue
        # A NaN is beyond every bound.
        good = all(difference <= bound for difference, bound in zip(found, expected.bounds))
        row = "  ".join(f"{difference:7.1e} {bound:7.1e}" for difference, bound in zip(found, expected.bounds))
        print(f"{model:28} {row}  {'' if good else 'FAILED'}".rstrip(), flush=True)
        failed |= not good
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
