"""Weight files as PyTorch writes them, for the tests of `dygl model import`.

    python3 tests/golden/import/make.py            # the small files, and expected.json
    python3 tests/golden/import/make.py layouts    # names and shapes of published classifiers
    python3 tests/golden/import/make.py outputs    # what those classifiers compute
    python3 tests/golden/import/make.py full DIR   # whole checkpoints of those classifiers (0.8 GB)
    python3 tests/golden/import/make.py whole WORKER DIR  # checkpoints of networks of this house (0.6 GB)

Made with torch 2.9.0; `layouts`, `outputs` and `full` also need torchvision
0.24.0 and timm 1.0.31; `whole` asks the program WORKER (dygl-worker) for the
names of tensors. Every content is made here: values come from a seeded generator
(small files) or from the rule of the parity fixtures, seed 1 (all others).

`expected.json` holds, for each small file, name -> [shape, values as f32] of
the tensors that a reader must give. Rerunning changes no expected value; the
bytes of the files may change with the version of torch.
"""

import collections
import json
import pathlib
import subprocess
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


def unit(name, shape, seed=1):
    """The stream of a name: uniform in [-1, 1), exact in f32."""
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
    return ((x >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32).reshape(shape)


def fill(name, shape, seed=1):
    """The rule of the parity fixtures."""
    import numpy as np

    u = unit(name, shape, seed)
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
    return torch.from_numpy(u)


def filled(net):
    """The state dict of a module with values by the rule, constants as built."""
    values = net.state_dict()
    for key, tensor in values.items():
        if tensor.is_floating_point() and key.rsplit(".", 1)[-1] != "attn_mask":
            values[key] = fill(key, tuple(tensor.shape))
    return values


# Values of each map that are kept.
KEPT = 40


def kept(map):
    """Shape and norm of a map, and values spread over all of it."""
    import numpy as np

    values = map.detach().contiguous().numpy()
    flat = values.reshape(-1)
    # Knuth's multiplicative step: no row, column or channel is preferred.
    at = [index * 2654435761 % flat.size for index in range(KEPT)]
    return {
        "shape": list(values.shape),
        "norm": float(np.sqrt(np.sum(flat.astype(np.float64) ** 2))),
        "largest": float(str(np.abs(flat).max())),
        "values": [float(str(flat[index])) for index in at],
    }


def resnet_maps(net, image):
    """Behind the stem's activation and each of the four stages."""
    x = net.relu(net.bn1(net.conv1(image)))
    found = {"stem": x}
    x = net.maxpool(x)
    for stage in (1, 2, 3, 4):
        x = getattr(net, f"layer{stage}")(x)
        found[f"layer{stage}"] = x
    return found


def to_map(tokens):
    """timm's [B, H, W, C] or [B, N, C] of a square as [B, C, H, W]."""
    if tokens.dim() == 3:
        side = round(tokens.shape[1] ** 0.5)
        tokens = tokens.reshape(tokens.shape[0], side, side, -1)
    return tokens.permute(0, 3, 1, 2)


def table_alone(block):
    """Makes a Swin block average its window by its table of positions alone: no
    queries and keys, values and projection are the identity, no perceptron."""
    width = block.attn.proj.weight.shape[0]
    for name, tensor in block.named_parameters():
        if not name.startswith("norm") and not name.endswith("relative_position_bias_table"):
            tensor.zero_()
        if name.startswith("norm"):
            tensor.fill_(1.0 if name.endswith("weight") else 0.0)
    block.attn.qkv.weight[2 * width :] = torch.eye(width)
    block.attn.proj.weight.copy_(torch.eye(width))


@torch.no_grad()
def outputs():
    """The maps of the classifiers' own modules where networks here take them over.

    The networks change what lies between the modules, and so does this: FAT-Net
    leaves out the pooling behind the stem, and DeiT's positions and extra tokens;
    H2Former's stem has stride 1; Swin-Unet takes two of the six blocks of the
    third stage; of Swin, HiFormer and BEFUnet keep the tables of positions alone.
    """
    nets = dict(classifiers())
    for net in nets.values():
        net.load_state_dict(filled(net))
        net.eval()
    image = torch.from_numpy(2 * unit("input", (1, 3, 224, 224)))
    found = {"hiformer_b/resnet50": resnet_maps(nets["resnet50"], image)}
    found["hiformer_b/resnet50"].pop("layer4")

    resnet = nets["resnet34"]
    pooling, resnet.maxpool = resnet.maxpool, torch.nn.Identity()
    found["fat_net/resnet34"] = resnet_maps(resnet, image)
    resnet.maxpool = pooling
    resnet.conv1.stride = (1, 1)
    found["h2former/resnet34"] = resnet_maps(resnet, image)

    deit = nets["deit_tiny_distilled_patch16_224"]
    x = deit.patch_embed(image)
    maps = {"patches": to_map(x)}
    for index, block in enumerate(deit.blocks):
        x = block(x)
        maps[f"blocks.{index}"] = to_map(x)
    found["fat_net/deit_tiny_distilled_patch16_224"] = maps

    res2net = nets["res2net50_v1b_26w_4s"]
    x = res2net.maxpool(res2net.act1(res2net.bn1(res2net.conv1(image))))
    maps = {"stem": x}
    for stage in (1, 2, 3, 4):
        x = getattr(res2net, f"layer{stage}")(x)
        maps[f"layer{stage}"] = x
    found["m2snet/res2net50_v1b_26w_4s"] = maps

    swin = nets["swin_tiny_patch4_window7_224.timm"]
    x = swin.patch_embed(image)
    maps = {"patches": to_map(x)}
    for index, stage in enumerate(swin.layers):
        x = stage.downsample(x)
        for block in stage.blocks[:2]:
            x = block(x)
        maps[f"layers.{index}"] = to_map(x)
    maps["norm"] = to_map(swin.norm(x))
    found["swin_unet/swin_tiny_patch4_window7_224"] = maps

    maps = {}
    for index, stage in enumerate(swin.layers):
        width, side = 96 << index, 56 >> index
        tokens = torch.from_numpy(2 * unit("tokens", (1, side, side, width)))
        for place, block in enumerate(stage.blocks):
            table_alone(block)
            maps[f"layers.{index}.blocks.{place}"] = to_map(block(tokens))
    found["bef_unet/swin_tiny_patch4_window7_224"] = maps
    maps = {name: map for name, map in maps.items() if not name.startswith("layers.3")}
    found["hiformer_b/swin_tiny_patch4_window7_224"] = maps

    lines = []
    for case, maps in found.items():
        rows = [f"  {json.dumps(name)}: {json.dumps(kept(map), separators=(',', ':'))}" for name, map in maps.items()]
        lines.append(f"{json.dumps(case)}: {{\n" + ",\n".join(rows) + "\n}")
    with open(HERE / "outputs.json", "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")


def full(folder):
    """Each classifier with filled weights, in the zip and the legacy format."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, net in classifiers():
        values = filled(net)
        torch.save(values, folder / f"{name}.zip.pth")
        torch.save({"model": values}, folder / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)


# Networks of this house, and the forms in which their files are written.
WHOLE = {
    "unet": ["zip", "f16"],
    "dyglnet": ["zip", "legacy", "parallel", "nested", "f16"],
    "hiformer_b": ["zip", "nested"],
}

# Runs of names that the reference registers a second time (hiformer_b).
TWICE = [
    ("All2Cross.pyramid.resnet_layers.5.", "All2Cross.pyramid.p2."),
    ("All2Cross.pyramid.resnet_layers.6.", "All2Cross.pyramid.p3."),
    (".conv_tower.", ".convs_level."),
]


def whole(worker, folder):
    """Files of whole networks under the reference's names, as torch.save writes them.

    Batch norms get their counters, and what the reference registers twice stands
    there under both names, as one tensor.
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for model, forms in WHOLE.items():
        told = subprocess.run([worker, "tensors", "--model", model], check=True, capture_output=True, text=True)
        values = collections.OrderedDict()
        for name, shape in json.loads(told.stdout).items():
            values[name] = fill(name, tuple(shape))
            if name.endswith("running_var"):
                values[name.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
        for name in list(values):
            for run, other in TWICE:
                if run in name:
                    values[name.replace(run, other)] = values[name]
        parallel = collections.OrderedDict(("module." + name, tensor) for name, tensor in values.items())
        half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in values.items()}
        contents = {
            "zip": (values, True),
            "legacy": (values, False),
            "parallel": (parallel, True),
            "nested": ({"epoch": 3, "state_dict": parallel, "optimizer": {"state": {}}}, False),
            "f16": (half, True),
        }
        for form in forms:
            content, zipped = contents[form]
            torch.save(content, folder / f"{model}.{form}.pth", _use_new_zipfile_serialization=zipped)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            small()
        case ["layouts"]:
            layouts()
        case ["outputs"]:
            outputs()
        case ["full", folder]:
            full(folder)
        case ["whole", worker, folder]:
            whole(worker, folder)
        case _:
            sys.exit(__doc__)
