"""Makes cases.json and the pictures beside it: what albumentations makes of
pictures given by formula, step by step, with stated parameters.

    pip install albumentations==2.0.8 opencv-python-headless==4.12.0.88
    python tests/golden/augment/make.py

Each NAME.png is RGBA: the image, and the mask as alpha. The same formulas
stand in src/pixels/src/augment/tests/golden.rs; nothing here is drawn at random.
"""

import json
from pathlib import Path

import albumentations as A
import albumentations.augmentations.geometric.functional as geometric
import cv2
import numpy as np

HERE = Path(__file__).parent
SIZE = 48
STORED = (60, 44)
LARGE = 96
ALPHA, SIGMA = 120.0, 6.0


def picture(width, height):
    """Three tilted waves of at most seven levels a pixel, and an ellipse."""
    y, x = np.mgrid[0:height, 0:width]

    def wave(v):
        v = v % 510
        return np.where(v > 255, 510 - v, v)

    image = np.stack([wave(5 * x + 3 * y), wave(2 * x + 7 * y + 40), wave(500 + 4 * x - 3 * y)], axis=-1)
    mask = np.where(4 * (x - 27) ** 2 + 9 * (y - 20) ** 2 < 2000, 255, 0)
    return image.astype(np.uint8), mask.astype(np.uint8)


class Noise:
    """In the place of numpy's generator: uniform noise by a formula."""

    def __init__(self, start):
        self.start = start

    def uniform(self, low, high, size):
        assert (low, high) == (-1, 1)
        count = int(np.prod(size))
        bits = (np.arange(self.start, self.start + count, dtype=np.uint64) * 2654435761) % 2**32
        bits = ((bits ^ (bits >> 15)) * 2246822519) % 2**32
        bits ^= bits >> 13
        return (bits.astype(np.float64) / 2**31 - 1).reshape(size)


def displacement(start):
    """Mirrored at the border, as OpenCV does unless told otherwise."""
    noise = Noise(start).uniform(-1, 1, (SIZE, SIZE)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), SIGMA) * np.float32(ALPHA)


def inside():
    """The library's own field, of one noise (two are smoothed as one picture),
    farther from the border than the kernel reaches: there no rule matters."""
    field, _ = geometric.generate_displacement_fields((LARGE, LARGE), ALPHA, SIGMA, True, (0, 0), Noise(0), "uniform")
    return field[24:-24, 24:-24]


def crop(image, mask, x, y, width, height):
    step = A.RandomResizedCrop((SIZE, SIZE), mask_interpolation=cv2.INTER_NEAREST_EXACT)
    coords = (x, y, x + width, y + height)
    return step.apply(image, crop_coords=coords), step.apply_to_mask(mask, crop_coords=coords)


def elastic(image, mask, border):
    step = A.ElasticTransform(border_mode=border)
    grid = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)))
    map_x, map_y = grid + np.stack([displacement(0), displacement(SIZE * SIZE)])
    maps = {"map_x": map_x.astype(np.float32), "map_y": map_y.astype(np.float32)}
    return step.apply(image, **maps), step.apply_to_mask(mask, **maps)


def run(step, image, mask):
    made = step(image=image, mask=mask)
    return made["image"], made["mask"]


def rotate(degrees, border):
    return A.Rotate(limit=(degrees, degrees), border_mode=border, p=1)


def tone(brightness, contrast):
    return A.RandomBrightnessContrast((brightness, brightness), (contrast, contrast), p=1)


REFLECT, ZERO = cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT
stored, square = picture(*STORED), picture(SIZE, SIZE)
cases = {
    "resize": run(A.Resize(SIZE, SIZE, mask_interpolation=cv2.INTER_NEAREST_EXACT), *stored),
    "crop": crop(*square, 7, 3, 38, 33),
    "crop-stored": crop(*stored, 9, 2, 50, 41),
    "horizontal-flip": run(A.HorizontalFlip(p=1), *square),
    "vertical-flip": run(A.VerticalFlip(p=1), *square),
    "rotate-reflect": run(rotate(11.5, REFLECT), *square),
    "rotate-zero": run(rotate(-14.25, ZERO), *square),
    "elastic-reflect": elastic(*square, REFLECT),
    "elastic-zero": elastic(*square, ZERO),
    "tone-dark": run(tone(-0.17, -0.13), *square),
    "tone-bright": run(tone(0.2, 0.2), *square),
}
chain = crop(*square, 7, 3, 38, 33)
chain = run(A.VerticalFlip(p=1), *run(A.HorizontalFlip(p=1), *chain))
chain = elastic(*run(rotate(11.5, REFLECT), *chain), REFLECT)
cases["chain"] = run(tone(-0.17, -0.13), *chain)

for name, (image, mask) in cases.items():
    assert image.shape == (SIZE, SIZE, 3) and mask.shape == (SIZE, SIZE), name
    written = cv2.imwrite(str(HERE / f"{name}.png"), np.dstack([image[..., ::-1], mask]), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert written, name

normalise = A.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225), p=1)
normalised = normalise(image=square[0])["image"]
facts = {
    "albumentations": A.__version__,
    "opencv": cv2.__version__,
    "numpy": np.__version__,
    "cases": sorted(cases),
    # Every fifth pixel of every fifth row.
    "displacement": [[round(float(v), 5) for v in displacement(start)[::5, ::5].ravel()] for start in (0, SIZE * SIZE)],
    "inside": [round(float(v), 5) for v in inside()[::5, ::5].ravel()],
    "normalised": [[round(float(v), 6) for v in pixel] for pixel in normalised[::12, ::12].reshape(-1, 3)],
}
(HERE / "cases.json").write_text(json.dumps(facts, indent=1) + "\n")
