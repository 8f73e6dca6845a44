"""Counts the foreground pixels of every mask, independently of the program.

    python3 make.py FOLDER > counts.json

FOLDER holds the datasets by name. Needs numpy, Pillow and tifffile. The result
holds numbers only: dataset -> image id -> pixels of foreground.
"""

import json
import pathlib
import sys

import numpy
import tifffile
from PIL import Image


def pixels(path):
    if path.suffix == ".tif":
        return tifffile.imread(path)
    with Image.open(path) as image:
        if image.mode == "1":
            return numpy.asarray(image).astype(numpy.uint8) * 255
        return numpy.asarray(image)


def grey(values):
    """BT.601 luma of colours; greys as they are."""
    if values.ndim == 3:
        weights = numpy.array([299, 587, 114])
        return (values[..., :3].astype(numpy.int64) @ weights + 500) // 1000
    return values


def bright(path):
    return int((grey(pixels(path)) > 127).sum())


def labelled(path):
    values = pixels(path)
    return int(((values > 0).any(axis=-1) if values.ndim == 3 else values > 0).sum())


# dataset: folder, pattern of the masks, what follows the id, how to count.
SETS = {
    "kvasir-seg": ("kvasir-seg", "masks/*.jpg", "", bright),
    "kvasir-seg-352": ("kvasir-seg-352", "*/masks/*.jpg", "", bright),
    "cvc-clinicdb": ("cvc-clinicdb", "masks/*.png", "", bright),
    "cvc-clinicdb-tif": ("cvc-clinicdb", "tif_sample/Ground Truth/*.tif", "", bright),
    "brain-mri": ("lgg-mri", "masks/*.tif", "_mask", bright),
    "isic2016-ids-512": ("isic2016-ids-512", "masks/*.png", "_segmentation", bright),
    "ph2": ("ph2", "masks/*.bmp", "_lesion", bright),
    "glas": ("glas", "masks/*.bmp", "_anno", labelled),
    "tnbc": ("tnbc", "masks/*.png", "_label", labelled),
}


def main(root):
    counts = {}
    for dataset, (folder, pattern, suffix, count) in SETS.items():
        found = {}
        for path in sorted((root / folder).glob(pattern)):
            name = path.stem.removesuffix(suffix)
            if dataset == "kvasir-seg-352":
                name = f"{path.parent.parent.name}/{name}"
            found[name] = count(path)
        counts[dataset] = found
    json.dump(counts, sys.stdout, indent=0, sort_keys=True)
    print()


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
