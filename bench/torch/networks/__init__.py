"""The networks of the paper in PyTorch, written from this project's
descriptions of them, with the tensor names of the published code.

They are what `make bench` times beside this project's own. To compare like with
like, what has no influence on the logits (see each file) is not computed
here either, although its parameters are there. Weights start as PyTorch's
layers do.
"""

from typing import Any, NamedTuple

from torch import nn

from .attention_unet import AttentionUNet
from .bef_unet import BEFUNet
from .cmunext_l import CMUNeXt
from .dcsau_net import DCSAUNet
from .dyglnet import DyGLNet
from .fat_net import FATNet
from .h2former import H2Former
from .hiformer_b import HiFormer
from .m2snet import M2SNet
from .missformer import MISSFormer
from .swin_unet import SwinUNet
from .unet import UNet
from .unetpp import UNetPlusPlus



class Entry(NamedTuple):
    """A network, the sizes of its images and its options.

    `options`: the values of each, the first being the default; a number is the
    default of a rate. `sized`: the module is laid out for one image size.
    """

    network: type[nn.Module]
    size_multiple: int
    size_min: int
    options: dict[str, Any] = {}
    sized: bool = False


DYGLNET = {
    "upsample": ("dysample", "bilinear", "transposed"),
    "norm": ("dyt", "group"),
    "local": ("dilated", "none"),
    "global": ("attention", "none"),
    "split": ("paper", "local", "global"),
}

NETWORKS = {
    "unet": Entry(UNet, 1, 32, {"variant": ("published", "table-exact")}),
    "attention_unet": Entry(AttentionUNet, 16, 32),
    "unetpp": Entry(UNetPlusPlus, 16, 32),
    "dcsau_net": Entry(DCSAUNet, 1, 32),
    "m2snet": Entry(M2SNet, 1, 32, {"ones": ("box", "dense")}),
    "cmunext_l": Entry(CMUNeXt, 16, 32),
    "missformer": Entry(MISSFormer, 32, 32),
    "swin_unet": Entry(SwinUNet, 32, 64, {"drop_path": 0.2}, sized=True),
    "hiformer_b": Entry(HiFormer, 32, 64, {"drop_path": 0.1}, sized=True),
    "h2former": Entry(H2Former, 16, 32, {"drop_path": 0.1}, sized=True),
    "fat_net": Entry(FATNet, 16, 32),
    "bef_unet": Entry(BEFUNet, 32, 64, {"drop_path": 0.1}, sized=True),
    "dyglnet": Entry(DyGLNet, 16, 32, DYGLNET),
}


class InvalidModel(ValueError):
    """A name, option or size that no network here has; the text lists what there is."""


def build(model, size, drop_path=None):
    """The module for NAME or NAME,option=value,... and square images of `size`.

    `drop_path` overrules the network's rate of stochastic depth, if it has one.
    """
    name, *given = model.split(",")
    if name not in NETWORKS:
        raise InvalidModel(f"unknown network `{name}`: there are {', '.join(NETWORKS)}")
    entry = NETWORKS[name]
    if size < entry.size_min or size % entry.size_multiple:
        raise InvalidModel(
            f"`{name}` takes no images of side {size}: multiples of {entry.size_multiple} from {entry.size_min}"
        )
    options = {option: values[0] if isinstance(values, tuple) else values for option, values in entry.options.items()}
    for text in given:
        option, _, value = text.partition("=")
        if option not in options:
            raise InvalidModel(f"`{name}` has no option `{option}`: there are {', '.join(options) or 'none'}")
        options[option] = read_option(entry.options[option], text, value)
    if drop_path is not None and "drop_path" in options:
        options["drop_path"] = drop_path
    if entry.sized:
        options["size"] = size
    return entry.network(**options)


def read_option(values, text, value):
    """One of the values, or a rate."""
    if isinstance(values, tuple):
        if value not in values:
            raise InvalidModel(f"`{text}`: the values are {', '.join(values)}")
        return value
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < 1:
        raise InvalidModel(f"`{text}`: it is a number from 0 to below 1")
    return rate
