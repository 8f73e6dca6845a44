"""Makes pairs.json: twenty mask pairs and their scores, by numpy alone.

    python tests/golden/metrics/make.py > tests/golden/metrics/pairs.json

The scores are written from the definitions over sets of pixels and share
nothing with the Rust code. Numbers come from numpy's PCG64 with the seed
that each pair states; the bits are stored, so that the test needs no numpy.
"""

import json

import numpy as np

EPSILON = 1e-8


def draw(seed):
    """A truth and a prediction that agrees with it to a random degree."""
    rng = np.random.default_rng(seed)
    pixels = int(rng.integers(16, 200))
    truth = rng.random(pixels) < rng.uniform(0.02, 0.98)
    flipped = rng.random(pixels) < rng.uniform(0.0, 0.6)
    return truth, truth ^ flipped


def scores(truth, predicted):
    overlap = np.count_nonzero(truth & predicted)
    both = np.count_nonzero(truth) + np.count_nonzero(predicted)
    agreed_background = np.count_nonzero(~(truth | predicted))
    return {
        "dice": 2 * overlap / (both + EPSILON),
        "iou": overlap / (np.count_nonzero(truth | predicted) + EPSILON),
        "precision": overlap / (np.count_nonzero(predicted) + EPSILON),
        "recall": overlap / (np.count_nonzero(truth) + EPSILON),
        "specificity": agreed_background / (np.count_nonzero(~truth) + EPSILON),
        "accuracy": np.count_nonzero(truth == predicted) / (truth.size + EPSILON),
    }


def text(mask):
    return "".join("1" if bit else "0" for bit in mask)


pairs = []
for seed in range(20):
    truth, predicted = draw(seed)
    pairs.append({"seed": seed, "truth": text(truth), "predicted": text(predicted), "scores": scores(truth, predicted)})
print(json.dumps({"numpy": np.__version__, "epsilon": EPSILON, "pairs": pairs}, indent=1))
