"""Throughput of the usual Python pipeline: PyTorch's DataLoader over OpenCV
and albumentations, with the same images and steps as this project's own.

    python bench/pipeline.py PAIRS SIZE BATCH WORKERS

PAIRS is a file of lines `image<TAB>mask`. Prints one JSON object; `make
bench` runs this beside the pipeline of this project, in turns.
"""

import json
import sys
import time

import albumentations as A
import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Pairs(Dataset):
    """Decodes and augments as a training script does: anew in each epoch."""

    def __init__(self, pairs, size):
        self.pairs = pairs
        reflect = cv2.BORDER_REFLECT_101
        self.steps = A.Compose(
            [
                A.RandomResizedCrop((size, size), scale=(0.5, 1.0), p=1.0),
                A.HorizontalFlip(p=0.5),
                A.VerticalFlip(p=0.5),
                A.Rotate(limit=(-15, 15), border_mode=reflect, p=0.6),
                A.ElasticTransform(alpha=120, sigma=6, noise_distribution="uniform", border_mode=reflect, p=0.3),
                A.RandomBrightnessContrast(p=0.2),
                A.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
            ],
            seed=42,
        )

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        image, mask = self.pairs[index]
        image = cv2.cvtColor(cv2.imread(image), cv2.COLOR_BGR2RGB)
        mask = cv2.imread(mask, cv2.IMREAD_GRAYSCALE)
        made = self.steps(image=image, mask=mask)
        image = torch.from_numpy(np.ascontiguousarray(made["image"].transpose(2, 0, 1)))
        return image, torch.from_numpy(made["mask"]).unsqueeze(0).float() / 255


def one_thread(_):
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def main(path, size, batch, workers):
    with open(path, encoding="utf-8") as lines:
        pairs = [line.rstrip("\n").split("\t") for line in lines]
    one_thread(None)
    loader = DataLoader(
        Pairs(pairs, size), batch_size=batch, num_workers=workers, worker_init_fn=one_thread, persistent_workers=True
    )
    # The first pass starts the workers; it is not timed.
    for images, masks in loader:
        assert images.shape[1:] == (3, size, size) and masks.shape[1:] == (1, size, size)
    started = time.perf_counter()
    seen = sum(len(images) for images, _ in loader)
    seconds = time.perf_counter() - started
    versions = f"torch {torch.__version__}, albumentations {A.__version__}, opencv {cv2.__version__}"
    print(json.dumps({"images": seen, "seconds": seconds, "versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
