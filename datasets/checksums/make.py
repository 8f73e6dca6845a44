"""Makes the compact lists of this folder from lists of sha256sum.

    python3 make.py FOLDER

FOLDER holds the SHA-256 lists of whole datasets: kvasir-seg-official.sha256,
cvc-clinicdb.sha256, lgg-kaggle_3m.sha256, ph2.sha256, glas.sha256.
"""

import pathlib
import re
import sys

# dataset: its list, what to say of its origin, and for each form of its files
# the pattern of images and of masks; the group is the image's id.
SETS = {
    "kvasir-seg": (
        "kvasir-seg-official.sha256",
        "Hashes of the official files as a public repository's LFS pointers record them.",
        [(r"images/([^/]+)\.jpg", r"masks/([^/]+)\.jpg")],
    ),
    "cvc-clinicdb": (
        "cvc-clinicdb.sha256",
        "Official TIFF and their PNG copies; the PNG agree with a second public source.",
        [
            (r"PNG/Original/(\d+)\.png", r"PNG/Ground Truth/(\d+)\.png"),
            (r"TIF/Original/(\d+)\.tif", r"TIF/Ground Truth/(\d+)\.tif"),
        ],
    ),
    "brain-mri": (
        "lgg-kaggle_3m.sha256",
        "All 3929 slices of kaggle_3m, of which the dataset keeps those with tumour; one public source.",
        [(r"([^/]+_\d+)\.tif", r"([^/]+_\d+)_mask\.tif")],
    ),
    "ph2": (
        "ph2.sha256",
        "One public source.",
        [(r"_Dermoscopic_Image/(IMD\d+)\.bmp", r"_lesion/(IMD\d+)_lesion\.bmp")],
    ),
    "glas": (
        "glas.sha256",
        "Agrees with a second public source.",
        [(r"((?:train|testA|testB)_\d+)\.bmp", r"((?:train|testA|testB)_\d+)_anno\.bmp")],
    ),
}


def main(folder):
    for dataset, (name, origin, forms) in SETS.items():
        known = {}
        for line in (folder / name).read_text().splitlines():
            digest, path = line[:64], line[66:]
            for place, form in enumerate(forms):
                for role, pattern in enumerate(form):
                    found = re.search(r"(?:^|/|(?<=\d))" + pattern + "$", path)
                    if found:
                        known.setdefault(found[1], {})[2 * place + role] = digest[:16]
        lines = [
            f"# {dataset}: SHA-256 of each file, its first 16 hexadecimal digits (made by make.py).",
            f"# {origin}",
            "# A line: image id, then image and mask" + (", for PNG and for TIFF." if len(forms) > 1 else "."),
        ]
        for image in sorted(known):
            hashes = known[image]
            assert len(hashes) == 2 * len(forms), (dataset, image, hashes)
            lines.append(" ".join([image] + [hashes[place] for place in sorted(hashes)]))
        target = pathlib.Path(__file__).parent / f"{dataset}.txt"
        target.write_text("\n".join(lines) + "\n")
        print(f"{target.name}: {len(known)} images, {target.stat().st_size} bytes")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
