"""The networks of the paper in PyTorch, written from this project's
descriptions of them, with the tensor names of the published code.

They are what `make bench` times beside this project's own. To compare like with
like, what has no influence on the logits (see each file) is not computed
here either, although its parameters are there. Weights start as PyTorch's
layers do.
"""

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

# Name, class and options, the first value being the default (a number: any
# rate). Classes with `SIZED` are laid out for one image size.
NETWORKS = {
    "unet": (UNet, {"variant": ("published", "table-exact")}),
    "attention_unet": (AttentionUNet, {}),
    "unetpp": (UNetPlusPlus, {}),
    "dcsau_net": (DCSAUNet, {}),
    "m2snet": (M2SNet, {"ones": ("box", "dense")}),
    "cmunext_l": (CMUNeXt, {}),
    "missformer": (MISSFormer, {}),
    "swin_unet": (SwinUNet, {"drop_path": 0.2}),
    "hiformer_b": (HiFormer, {"drop_path": 0.1}),
    "h2former": (H2Former, {"drop_path": 0.1}),
    "fat_net": (FATNet, {}),
    "bef_unet": (BEFUNet, {"drop_path": 0.1}),
    "dyglnet": (
        DyGLNet,
        {
            "upsample": ("dysample", "bilinear", "transposed"),
            "norm": ("dyt", "group"),
            "local": ("dilated", "none"),
            "global": ("attention", "none"),
            "split": ("paper", "local", "global"),
        },
    ),
}


class UnknownNetwork(ValueError):
    """A name or option that no network here has; the text lists what there is."""


def build(model, size, drop_path=None):
    """The module for NAME or NAME,option=value,... and square images of `size`.

    `drop_path` overrules the network's rate of stochastic depth, if it has one.
    """
    name, *given = model.split(",")
    if name not in NETWORKS:
        raise UnknownNetwork(f"unknown network `{name}`: there are {', '.join(NETWORKS)}")
    network, known = NETWORKS[name]
    options = {option: values if isinstance(values, float) else values[0] for option, values in known.items()}
    for text in given:
        option, _, value = text.partition("=")
        values = known.get(option)
        if values is None:
            raise UnknownNetwork(f"`{name}` has no option `{option}`: there are {', '.join(known) or 'none'}")
        options[option] = rate(name, option, value) if isinstance(values, float) else value
        if not isinstance(values, float) and value not in values:
            raise UnknownNetwork(f"option `{option}` of `{name}` has no value `{value}`: {', '.join(values)}")
    if drop_path is not None and "drop_path" in options:
        options["drop_path"] = drop_path
    if getattr(network, "SIZED", False):
        options["size"] = size
    return network(**options)


def rate(name, option, text):
    """A probability below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise UnknownNetwork(f"option `{option}` of `{name}` is a number from 0 to below 1, not `{text}`")
    return value
