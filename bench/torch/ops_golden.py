"""What PyTorch gives for single operations, values and gradients.

    python bench/torch/ops_golden.py            # writes tests/golden/ops.json
    python bench/torch/ops_golden.py --check    # exit code 1 if it would be another

Computed in f64 on one thread, with torch 2.9.0, from inputs that anyone can make
anew: number i of the stream CASE/INPUT (`fixture.unit`), times `scale`, plus
`shift`, in f32. The loss is the sum of all results, each value times its number
of the stream CASE/RESULT slope. Of each tensor the file keeps shape, norm,
largest magnitude and values spread over it, to twelve digits.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import fixture
from networks.bef_unet import PixelDifference

GOLDEN = Path(__file__).resolve().parents[2] / "tests/golden/ops.json"

# Values of each tensor that are kept.
KEPT = 24


def given(name, shape, scale=2.0, shift=0.0, rule=None, constant=False):
    """An input: a stream's numbers, or offsets made of them."""
    return {
        "name": name,
        "shape": list(shape),
        **({"rule": rule} if rule else {"scale": scale, "shift": shift}),
        **({"constant": True} if constant else {}),
    }


def made(case, entry):
    """The values of an input, f32."""
    u = fixture.unit(f"{case}/{entry['name']}", tuple(entry["shape"]), 1).numpy()
    rule = entry.get("rule")
    if rule is None:
        values = np.float32(entry["shift"]) + np.float32(entry["scale"]) * u
    else:
        # Quarters of a pixel: positions on pixels and borders; or an eighth
        # beside them and a little away, where no gradient jumps.
        eighths = u * np.float32(8)
        floor = np.floor(eighths)
        values = floor * np.float32(0.25)
        if rule == "between":
            away = np.float32(0.1) * (eighths - floor - np.float32(0.5))
            values = values + np.float32(0.125) + away
    assert values.dtype == np.float32
    return torch.from_numpy(values)


# Operations: parameters, then the inputs by name; the results by name.


def convolution(x, w, b=None, *, stride, padding, output_padding, dilation, groups, transposed):
    if transposed:
        return {"y": F.conv_transpose2d(x, w, b, stride, padding, output_padding, groups, dilation)}
    return {"y": F.conv2d(x, w, b, stride, padding, dilation, groups)}


def pointwise(x, w, b=None):
    return {"y": F.conv2d(x, w, b)}


def depthwise(x, w, *, stride, padding, dilation):
    return {"y": F.conv2d(x, w, None, stride, padding, dilation, x.shape[1])}


def batch_norm_train(x, w, b):
    over = (0, 2, 3)
    return {
        "y": F.batch_norm(x, None, None, w, b, training=True, eps=1e-5),
        "mean": x.detach().mean(over),
        "var": x.detach().var(over, unbiased=False),
    }


def batch_norm_layer(x, w, b):
    mean, var = torch.zeros_like(w).detach(), torch.ones_like(w).detach()
    y = F.batch_norm(x, mean, var, w, b, training=True, momentum=0.1, eps=1e-5)
    return {"y": y, "mean": mean, "var": var}


def batch_norm(x, w, b, mean, var):
    return {"y": F.batch_norm(x, mean, var, w, b, training=False, eps=1e-5)}


def layer_norm(x, w, b):
    return {"y": F.layer_norm(x, w.shape, w, b, eps=1e-6)}


def group_norm(x, w, b, *, groups):
    return {"y": F.group_norm(x, groups, w, b, eps=1e-5)}


def dynamic_tanh(x, w, b, a):
    return {"y": (a * x).tanh() * w.view(1, -1, 1, 1) + b.view(1, -1, 1, 1)}


def gelu(x):
    return {"y": F.gelu(x)}


def linear(x, w, b=None):
    return {"y": F.linear(x, w, b)}


def attention(q, k, v, bias=None):
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[3])
    if bias is not None:
        scores = scores + bias
    return {"y": scores.softmax(3) @ v}


def self_attention(x, qkv, qkv_bias, proj, proj_bias, bias=None, *, heads):
    batch, tokens, features = x.shape
    q, k, v = F.linear(x, qkv, qkv_bias).view(batch, tokens, 3, heads, features // heads).permute(2, 0, 3, 1, 4)
    y = attention(q, k, v, bias)["y"].transpose(1, 2).reshape(batch, tokens, features)
    return {"y": F.linear(y, proj, proj_bias)}


def channel_gate(x, w):
    return {"y": F.conv1d(x.unsqueeze(1), w, padding=w.shape[2] // 2).squeeze(1).sigmoid()}


def pixel_difference(x, w, *, kind):
    outputs, inputs, *_ = w.shape
    layer = PixelDifference(kind, x.shape[1], outputs, x.shape[1] // inputs)
    # As a function of w, which is no parameter of the layer.
    del layer.weight
    layer.weight = w
    return {"y": layer(x)}


def resize(x, *, size, aligned):
    return {"y": F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=aligned)}


def nearest(x, *, factor):
    return {"y": F.interpolate(x, scale_factor=factor, mode="nearest")}


def dynamic_upsample(x, offset, *, groups):
    batch, channels, height, width = x.shape
    # [B, axis, group, a, b, H, W] to [B, group, H, a, W, b, axis]
    offset = offset.view(batch, 2, groups, 2, 2, height, width).permute(0, 2, 5, 3, 6, 4, 1)
    offset = offset.reshape(batch * groups, 2 * height, 2 * width, 2)
    centres = [torch.arange(2 * side, dtype=x.dtype) / 2 + 0.25 for side in (height, width)]
    rows, columns = torch.meshgrid(*centres, indexing="ij")
    sides = torch.tensor([width, height], dtype=x.dtype)
    grid = (offset + torch.stack((columns, rows), -1)) * 2 / sides - 1
    parts = x.reshape(batch * groups, channels // groups, height, width)
    y = F.grid_sample(parts, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return {"y": y.view(batch, channels, 2 * height, 2 * width)}


POOLS = {
    "max 2": lambda x: F.max_pool2d(x, 2),
    "max 3": lambda x: F.max_pool2d(x, 3),
    "max stem": lambda x: F.max_pool2d(x, 3, 2, 1),
    "average 3x3": lambda x: F.avg_pool2d(x, 3, 1, 1),
    "average 3x3 half": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "average ceil 2": lambda x: F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False),
    "average ceil 3": lambda x: F.avg_pool2d(x, 3, ceil_mode=True, count_include_pad=False),
}


def pool(x, *, kind):
    return {"y": POOLS[kind](x)}


def global_average(x):
    return {"y": F.adaptive_avg_pool2d(x, 1).flatten(1)}


def loss(target, first, second=None, third=None, *, weight, smoothing, by_image):
    maps = [logits for logits in (first, second, third) if logits is not None]
    over = (1, 2, 3) if by_image else (0, 1, 2, 3)
    bce = sum(F.binary_cross_entropy_with_logits(logits, target) for logits in maps) / len(maps)
    dice = 0
    for p in (logits.sigmoid() for logits in maps):
        ratio = (2 * (p * target).sum(over) + smoothing) / (p.sum(over) + target.sum(over) + smoothing)
        dice = dice + (1 - ratio.mean()) / len(maps)
    total = weight * bce + (1 - weight) * dice
    return {"total": total.view(1), "bce": bce.view(1), "dice": dice.view(1)}


def adamw(p, *gradients, rate, decay, clip, **more):
    parameter = torch.nn.Parameter(p.detach().clone())
    optimizer = torch.optim.AdamW([parameter], lr=rate, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay)
    for gradient in (*gradients, *more.values()):
        parameter.grad = gradient.detach().clone()
        torch.nn.utils.clip_grad_norm_([parameter], clip)
        optimizer.step()
    return {"y": parameter.detach()}


def convolution_case(name, x, output, kernel, bias=False, **form):
    plain = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1, "transposed": False}
    form = {**plain, **form}
    groups = form["groups"]
    weight = (x[1], output) if form["transposed"] else (groups * output, x[1] // groups)
    inputs = [given("x", x), given("w", (*weight, kernel, kernel))]
    inputs += [given("b", (groups * output,))] if bias else []
    return name, convolution, form, inputs


def off_centre(x, parameters):
    return [given("x", x, 2.0, 3.0), given("w", (parameters,), 0.5, 1.0), given("b", (parameters,))]


def attention_case(name, q, keys, bias=None):
    other = (q[0], q[1], keys, q[3])
    inputs = [given("q", q), given("k", other), given("v", other)]
    return name, attention, {}, inputs + ([given("bias", bias)] if bias else [])


def upsample_case(name, x, groups, rule="between"):
    offset = given("offset", (x[0], 8 * groups, x[2], x[3]), rule=rule)
    return name, dynamic_upsample, {"groups": groups}, [given("x", x), offset]


def loss_case(name, shape, maps, weight, smoothing, by_image):
    names = ("first", "second", "third")[:maps]
    inputs = [given("target", shape, 0.5, 0.5, constant=True)]
    inputs += [given(each, shape, 4.0) for each in names]
    return name, loss, {"weight": weight, "smoothing": smoothing, "by_image": by_image}, inputs


CASES = [
    convolution_case("dense", (2, 17, 13, 11), 9, 3, True, padding=1),
    convolution_case("dense, 7x7, half", (1, 3, 33, 30), 16, 7, stride=2, padding=3),
    convolution_case("patches", (2, 3, 18, 19), 24, 4, True, stride=4),
    convolution_case("grouped, half", (2, 12, 12, 15), 3, 3, True, groups=3, stride=2, padding=1),
    convolution_case("dilated", (1, 8, 20, 21), 5, 3, padding=4, dilation=4),
    convolution_case("a map smaller than the dilated window", (2, 3, 3, 2), 4, 3, True, padding=4, dilation=4),
    convolution_case("stride beyond the window", (1, 3, 11, 10), 4, 2, True, stride=3),
    convolution_case("transposed", (2, 8, 7, 6), 5, 2, True, stride=2, transposed=True),
    convolution_case(
        "transposed, padded", (1, 6, 5, 7), 4, 3, True, stride=2, padding=1, output_padding=1, transposed=True
    ),
    convolution_case(
        "transposed, grouped, dilated", (1, 6, 4, 5), 2, 3, stride=2, groups=2, dilation=2, transposed=True
    ),
    ("pointwise", pointwise, {}, [given("x", (2, 33, 9, 7)), given("w", (17, 33, 1, 1)), given("b", (17,))]),
    ("depthwise", depthwise, {"stride": 1, "padding": 1, "dilation": 1}, [given("x", (2, 9, 14, 13)), given("w", (9, 1, 3, 3))]),
    ("depthwise, dilated", depthwise, {"stride": 1, "padding": 5, "dilation": 5}, [given("x", (1, 7, 4, 9)), given("w", (7, 1, 3, 3))]),
    ("depthwise, half", depthwise, {"stride": 2, "padding": 2, "dilation": 1}, [given("x", (2, 8, 15, 12)), given("w", (8, 1, 5, 5))]),
    ("batch norm in training", batch_norm_train, {}, off_centre((3, 9, 11, 7), 9)),
    ("batch norm layer", batch_norm_layer, {}, off_centre((2, 5, 6, 7), 5)),
    (
        "batch norm",
        batch_norm,
        {},
        off_centre((2, 7, 5, 6), 7)
        + [given("mean", (7,), 1.0, 3.0, constant=True), given("var", (7,), 0.9, 1.0, constant=True)],
    ),
    ("layer norm", layer_norm, {}, off_centre((2, 9, 33), 33)),
    ("group norm", group_norm, {"groups": 3}, off_centre((2, 12, 7, 5), 12)),
    ("dynamic tanh", dynamic_tanh, {}, off_centre((2, 5, 6, 7), 5) + [given("a", (1,), 0.2, 0.5)]),
    ("gelu", gelu, {}, [given("x", (3, 17, 19), 5.0)]),
    ("gelu, tails", gelu, {}, [given("x", (1, 1, 999), 12.0)]),
    ("linear", linear, {}, [given("x", (2, 15, 31)), given("w", (17, 31)), given("b", (17,))]),
    attention_case("attention", (2, 3, 9, 8), 9),
    attention_case("attention, fewer keys", (1, 2, 16, 5), 4),
    attention_case("attention, bias of heads", (2, 4, 7, 6), 7, (1, 4, 7, 7)),
    attention_case("attention, bias of images", (3, 2, 5, 4), 6, (3, 1, 5, 6)),
    (
        "self-attention",
        self_attention,
        {"heads": 3},
        [
            given("x", (2, 7, 12)),
            given("qkv", (36, 12), 0.5),
            given("qkv_bias", (36,)),
            given("proj", (12, 12), 0.5),
            given("proj_bias", (12,)),
            given("bias", (1, 3, 7, 7)),
        ],
    ),
    ("channel gate", channel_gate, {}, [given("x", (2, 17)), given("w", (1, 1, 5))]),
    *(
        (f"pixel difference {kind} {part}", pixel_difference, {"kind": kind}, [given("x", (2, 6, 7, 8)), given("w", w)])
        for kind in ("cv", "cd", "ad", "rd")
        for part, w in (("whole", (5, 6, 3, 3)), ("each", (6, 1, 3, 3)))
    ),
    ("resize up", resize, {"size": [13, 15], "aligned": False}, [given("x", (2, 3, 5, 7))]),
    ("resize down", resize, {"size": [4, 5], "aligned": False}, [given("x", (1, 3, 9, 11))]),
    ("resize up, aligned", resize, {"size": [13, 15], "aligned": True}, [given("x", (2, 3, 5, 7))]),
    ("resize down, aligned", resize, {"size": [4, 5], "aligned": True}, [given("x", (1, 3, 9, 11))]),
    ("resize to a pixel, aligned", resize, {"size": [1, 1], "aligned": True}, [given("x", (1, 2, 4, 3))]),
    ("nearest", nearest, {"factor": 3}, [given("x", (2, 3, 4, 5))]),
    upsample_case("dynamic upsample", (2, 8, 7, 9), 4),
    upsample_case("dynamic upsample, one row", (1, 4, 1, 6), 2),
    # Powers of two: no position is rounded, and those on a border are exactly there.
    upsample_case("dynamic upsample on pixels and borders", (2, 4, 8, 4), 2, "quarters"),
    *((f"pool {kind}", pool, {"kind": kind}, [given("x", (2, 3, 11, 8))]) for kind in POOLS),
    ("global average", global_average, {}, [given("x", (2, 7, 9, 5))]),
    loss_case("loss", (2, 1, 17, 13), 1, 0.5, 1.0, False),
    loss_case("loss by image", (3, 1, 9, 14), 1, 0.3, 1e-3, True),
    loss_case("loss of several maps", (2, 1, 8, 9), 3, 0.5, 1.0, False),
    (
        "adamw",
        adamw,
        {"rate": 0.01, "decay": 0.1, "clip": 1.0},
        [given("p", (97,), constant=True)]
        + [given(f"g{step}", (97,), 10.0 ** (step - 2), constant=True) for step in range(5)],
    ),
]


def kept(tensor):
    """Shape and norm, and values spread over all of them."""
    flat = tensor.detach().contiguous().numpy().reshape(-1)
    digits = lambda value: float(f"{value:.12g}")
    at = [index * 2654435761 % flat.size for index in range(min(KEPT, flat.size))]
    return {
        "shape": list(tensor.shape),
        "norm": digits(math.sqrt(math.fsum(float(value) ** 2 for value in flat))),
        "largest": digits(np.abs(flat).max()),
        "values": [digits(flat[index]) for index in at],
    }


def row(name, operation, parameters, inputs):
    leaves = {}
    for entry in inputs:
        leaf = made(name, entry).double()
        leaves[entry["name"]] = leaf if entry.get("constant") else leaf.requires_grad_()
    results = operation(**leaves, **parameters)
    tracked = {result: y for result, y in results.items() if y.requires_grad}
    if tracked:
        sum(
            (y * fixture.unit(f"{name}/{result} slope", tuple(y.shape), 1).double()).sum()
            for result, y in tracked.items()
        ).backward()
    tensors = {result: kept(y) for result, y in results.items()}
    tensors |= {f"d {leaf}": kept(x.grad) for leaf, x in leaves.items() if x.requires_grad}
    return {"case": name, "operation": operation.__name__, "parameters": parameters, "inputs": inputs, "tensors": tensors}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the file and leave it")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [json.dumps(row(*case), separators=(",", ":")) for case in CASES]
    text = "[\n" + ",\n".join(rows) + "\n]\n"
    if not arguments.check:
        GOLDEN.write_text(text, encoding="utf-8")
        return 0
    if GOLDEN.read_text(encoding="utf-8") == text:
        return 0
    old = GOLDEN.read_text(encoding="utf-8").splitlines()
    for before, after in zip(old, text.splitlines()):
        if before != after:
            print(f"{GOLDEN}: another result: {after[:60]}", file=sys.stderr)
    print(f"{GOLDEN} is not what this script gives: run it without --check", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
