"""JPEG streams of every way that colours are thinned out, for the test that decoding
gives the same pixels on every machine (`src/pixels/src/decode/tests.rs`).

    pip install numpy==2.4.6 pillow==13.0.0
    python make.py

The decoder here has code for AVX2, for Neon and for neither. They are integer
arithmetic in the same steps; the digests in the test were taken from both of x86's.
"""

from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent

# Name -> arguments of Pillow. 61 x 45 pixels are whole blocks in no direction.
STREAMS = {
    "444": {"subsampling": "4:4:4", "quality": 95},
    "422": {"subsampling": "4:2:2", "quality": 60},
    "420": {"subsampling": "4:2:0", "quality": 80},
    "420-progressive": {"subsampling": "4:2:0", "quality": 70, "progressive": True},
    "grey": {"quality": 85},
}


def picture() -> np.ndarray:
    """Waves, an edge and noise, uint8 [45, 61, 3]."""
    y, x = np.mgrid[:45, :61]
    waves = [127 + 120 * np.sin(a * x + b) * np.cos(0.13 * y) for a, b in ((0.2, 0), (0.31, 1), (0.07, 2))]
    rgb = np.stack(waves, axis=-1)
    rgb[:, 30:35] = (250, 10, 60)
    rgb[30:, :20] = np.random.default_rng(1).integers(0, 256, (15, 20, 3))
    return rgb.clip(0, 255).astype(np.uint8)


for name, arguments in STREAMS.items():
    image = Image.fromarray(picture())
    image = image.convert("L") if name == "grey" else image
    image.save(HERE / f"{name}.jpg", **arguments)
