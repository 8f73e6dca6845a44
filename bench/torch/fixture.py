"""Weights and inputs that anyone can make anew, and the loss they are given to.

A tensor's values follow from its name alone (the rule of this project's parity
fixtures): FNV-1a of the name seeds splitmix64, whose upper 24 bits are a value
u in [-1, 1); what kind of tensor it is, by name and shape, scales u. All
constants are rounded to f32 once, so that every implementation gets the same
bits.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

GOLDEN = 0x9E3779B97F4A7C15
MASK = 2**64 - 1

# Tensors that the rule leaves as they were built.
CONSTANT = {"num_batches_tracked", "relative_position_index", "attn_mask", "init_pos"}

# Where the filled values would leave the range in which a network can be
# compared: words of the model, end of the name, factor.
SCALED = [
    ({"m2snet"}, "conv_3.norm.running_var", 331776.0),
    ({"m2snet"}, "conv_5.norm.running_var", 2560000.0),
    ({"dyglnet", "norm=group"}, ".pre_norm.weight", 0.25),
]


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & MASK
    return value


def unit(name, shape, seed):
    """The rule's u in [-1, 1), f32, of that shape."""
    z = np.arange(1, math.prod(shape) + 1, dtype=np.uint64) * np.uint64(GOLDEN)
    z += np.uint64(fnv1a(name) ^ (seed * GOLDEN & MASK))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z = (z ^ z >> np.uint64(shift)) * np.uint64(factor)
    z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**23) - np.float32(1)
    return torch.from_numpy(u.reshape(shape))


def filled(name, shape, seed):
    """The rule's values for the tensor of a state dict."""
    u = unit(name, shape, seed)
    last = name.rsplit(".", 1)[-1]
    if last == "running_mean" or (last != "running_var" and "bias" in last):
        return u * np.float32(0.1)
    if last == "running_var":
        return u * np.float32(0.5) + 1
    if len(shape) > 1:
        return u * np.float32(math.sqrt(3 / math.prod(shape[1:])))
    return u * np.float32(0.2) + 1


def fill(network, model, seed=1):
    """Gives the network the rule's weights; their names and shapes, in order."""
    state = network.state_dict()
    tensors = {name: list(state[name].shape) for name in state if name.rsplit(".", 1)[-1] not in CONSTANT}
    for name, shape in tensors.items():
        value = filled(name, shape, seed)
        for words, end, factor in SCALED:
            if words <= set(model.split(",")) and name.endswith(end):
                value = value * factor
        state[name].copy_(value)
    return tensors


def batch(size=224, count=2, seed=1):
    """Images [count, 3, size, size] in [-2, 2) and targets [count, 1, size, size], 0 or 1."""
    images = unit("input", (count, 3, size, size), seed) * 2
    target = unit("target", (count, 1, size, size), seed) > 0.3
    return images, target.float()


def loss(logits, target):
    """0.5 BCE + 0.5 (1 - Dice), Dice over the whole batch with smoothing 1."""
    bce = F.binary_cross_entropy_with_logits(logits, target)
    p = logits.sigmoid()
    dice = (2 * (p * target).sum() + 1) / (p.sum() + target.sum() + 1)
    return 0.5 * bce + 0.5 * (1 - dice)


def read_tensors(path):
    """The f32 tensors of a safetensors file."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: tensor {name} is {entry['dtype']}, not F32")
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[start + begin : start + end], dtype="<f4")
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]).copy())
    return tensors


def write_tensors(path, tensors):
    """Writes f32 tensors as a safetensors file."""
    header, parts, offset = {}, [], 0
    for name, tensor in tensors.items():
        part = tensor.detach().cpu().float().contiguous().numpy().astype("<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(part)],
        }
        parts.append(part)
        offset += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(len(text).to_bytes(8, "little") + text + b"".join(parts))
