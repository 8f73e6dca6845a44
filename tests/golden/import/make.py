"""Weight files as PyTorch writes them, for the tests of `dygl model import`.

    python3 tests/golden/import/make.py            # the small files, and expected.json
    python3 tests/golden/import/make.py layouts    # names and shapes of published classifiers
    python3 tests/golden/import/make.py full DIR   # whole checkpoints of those classifiers (0.5 GB)

Made with torch 2.9.0; `layouts` and `full` also need torchvision 0.24.0 and
timm 1.0.31. Every content is made here: values come from a seeded generator
(small files) or from the rule of the parity fixtures, seed 1 (full files).

`expected.json` holds, for each small file, name -> [shape, values as f32] of
the tensors that a reader must give. Rerunning changes no expected value; the
bytes of the files may change with the version of torch.
"""

import collections
import json
import pathlib
import sys

import torch

HERE = pathlib.Path(__file__).parent


def state():
    """A state dict of a small network: weights, running statistics, a counter."""
    generator = torch.Generator().manual_seed(7)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(4, 2))
    values = net.state_dict()
    for name, tensor in values.items():
        if tensor.is_floating_point():
            values[name] = torch.randn(tensor.shape, generator=generator)
    return values


def small():
    plain = state()
    prefixed = collections.OrderedDict(("module." + name, tensor) for name, tensor in plain.items())
    base = torch.arange(24, dtype=torch.float32) / 8 - 1
    views = {
        "transposed": base.reshape(4, 6).t(),
        "every_other": base[1::2],
        "window": base.reshape(2, 3, 4)[:, 1:, 2:],
        "tied": base.reshape(4, 6)[0],
        "tied_again": base.reshape(4, 6)[0],
        "scalar": base[5],
        "none": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[:3].clone()),
    }
    kinds = {
        "f16": base.half(),
        "bf16": base.bfloat16(),
        "f64": base.double() / 3,
        "i64": torch.tensor([3, -4]),
        "i32": torch.tensor([3, -4], dtype=torch.int32),
        "i16": torch.tensor([3, -4], dtype=torch.int16),
        "i8": torch.tensor([3, -4], dtype=torch.int8),
        "u8": torch.tensor([3, 200], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
    }
    nested = {"epoch": 3, "best": 0.5, "state_dict": prefixed, "optimizer": {"state": {}, "param_groups": [{"lr": 1e-3}]}}
    deeper = {"net": {"model_state_dict": plain}, "names": ["a", None, (1, 2.5)], "huge": 1 << 70}
    files = {"plain": plain, "parallel": prefixed, "views": views, "kinds": kinds, "nested": nested, "deeper": deeper}
    expected = {}
    for name, content in files.items():
        torch.save(content, HERE / f"{name}.zip.pth")
        torch.save(content, HERE / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)
        tensors = {"nested": plain, "deeper": plain, "parallel": plain}.get(name, content)
        expected[name] = {
            key: [list(tensor.shape), tensor.detach().float().flatten().tolist()] for key, tensor in tensors.items()
        }
    torch.save(plain, HERE / "protocol4.zip.pth", pickle_protocol=4)
    expected["protocol4"] = expected["plain"]
    # What must be refused: a whole module, and a program.
    torch.save(torch.nn.Linear(2, 2), HERE / "module.zip.pth")
    torch.save(torch.nn.Linear(2, 2), HERE / "module.legacy.pth", _use_new_zipfile_serialization=False)
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(HERE / "script.pt"))
    with open(HERE / "expected.json", "w") as file:
        json.dump(expected, file)
        file.write("\n")


def classifiers():
    import timm
    import torchvision

    tv = torchvision.models
    yield "resnet34", tv.resnet34(weights=None)
    yield "resnet50", tv.resnet50(weights=None)
    yield "deit_tiny_distilled_patch16_224", timm.create_model("deit_tiny_distilled_patch16_224", pretrained=False)
    yield "swin_tiny_patch4_window7_224.timm", timm.create_model("swin_tiny_patch4_window7_224", pretrained=False)
    # timm's name for the network of res2net50_v1b_26w_4s-3cf99910.pth: the same names of tensors.
    yield "res2net50_v1b_26w_4s", timm.create_model("res2net50d", pretrained=False)


def layouts():
    found = {}
    for name, net in classifiers():
        shapes = {key: list(tensor.shape) for key, tensor in net.state_dict().items()}
        found[name] = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
    # Swin's authors count a patch merging to the stage before it; since 0.9 timm to the one behind.
    def older(key):
        parts = key.split(".")
        if parts[0] == "layers" and parts[2] == "downsample":
            parts[1] = str(int(parts[1]) - 1)
        return ".".join(parts).replace("head.fc.", "head.")

    name = "swin_tiny_patch4_window7_224"
    found[name] = {older(key): shape for key, shape in found[f"{name}.timm"].items()}
    with open(HERE / "layouts.json", "w") as file:
        file.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v, separators=(',', ':'))}" for k, v in found.items()) + "\n}\n")


MASK = (1 << 64) - 1


def fill(name, shape, seed=1):
    """The rule of the parity fixtures."""
    import numpy as np

    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & MASK
    golden = np.uint64(0x9E3779B97F4A7C15)
    count = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        x = np.uint64(h ^ (seed * 0x9E3779B97F4A7C15 & MASK)) + np.arange(count, dtype=np.uint64) * golden + golden
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    u = ((x >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32)
    f = np.float32
    last = name.rsplit(".", 1)[-1]
    if last == "running_mean":
        u = f(0.1) * u
    elif last == "running_var":
        u = f(1) + f(0.5) * u
    elif "bias" in last:
        u = f(0.1) * u
    elif len(shape) >= 2:
        u = u * f((3 / np.prod(shape[1:])) ** 0.5)
    else:
        u = f(1) + f(0.2) * u
    return torch.from_numpy(u.reshape(shape))


def full(folder):
    """Each classifier with filled weights, in the zip and the legacy format."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, net in classifiers():
        values = net.state_dict()
        for key, tensor in values.items():
            if tensor.is_floating_point() and key.rsplit(".", 1)[-1] != "attn_mask":
                values[key] = fill(key, tuple(tensor.shape))
        torch.save(values, folder / f"{name}.zip.pth")
        torch.save({"model": values}, folder / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            small()
        case ["layouts"]:
            layouts()
        case ["full", folder]:
            full(folder)
        case _:
            sys.exit(__doc__)
