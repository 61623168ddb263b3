"""Precision and recall of SSCD, of the PCA hash and of pHash on photos with known copies.

    python tests/bench/copies.py --pairs data/cifair --groups data/pdq --photos data/photos \\
        --config config/photos.yaml

`--pairs` is a folder with pairs.csv (a, b, judgment: 0 and 1 are copies, 2 is a hard negative, any
other pair a negative); `--groups` one with groups.csv (file, group, dihedral: files of the group
"bridge" are copies of each other, some turned or mirrored). The descriptor is trained and the two
PCAs are fitted on `--photos`, by the stage scripts. Prints Markdown.
"""

import csv
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import torch
import tyro
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "src"))

from sauropod.dedup import descriptors, pca_hash
from sauropod.dedup.hamming import distance
from sauropod.images import decode
from sauropod.io import commit
from sauropod.load_config import stage_knobs
from sauropod.models import sscd_files

UNKNOWN = -1
COSINES = (0.45, 0.6, 0.75)
"""Those of DINOv2's relative and self dedup, and the one SSCD's authors advise."""


@dataclass(frozen=True)
class Set:
    """Images and what is known of every pair of them."""

    name: str
    images: list[Image.Image]
    kinds: tuple[str, ...]
    """What pairs may be; the copies first, "copies" in their names."""
    truth: np.ndarray
    """(n, n) place of the pair in `kinds`, or UNKNOWN; read above the diagonal."""


def read_pairs(folder: Path) -> Set:
    """Read pairs.csv; images that pairs connect over a third one are of unknown kind."""
    rows = list(csv.DictReader((folder / "pairs.csv").open()))
    names = sorted({row[side] for row in rows for side in "ab"})
    place = {name: i for i, name in enumerate(names)}
    at = np.array([[place[row["a"]], place[row["b"]]] for row in rows])
    near = np.eye(len(names), dtype=bool)
    near[at[:, 0], at[:, 1]] = near[at[:, 1], at[:, 0]] = True
    for _ in range(len(names).bit_length()):
        near = near @ near
    truth = np.where(near, UNKNOWN, 2)
    truth[at.min(axis=1), at.max(axis=1)] = [row["judgment"] == "2" for row in rows]
    images = [decode((folder / name).read_bytes()) for name in names]
    kinds = ("copies", "hard negatives", "other pairs")
    return Set("annotated pairs", images, kinds, truth)


def read_groups(folder: Path) -> Set:
    """Read groups.csv; a pair with a turned or mirrored image in it is told apart."""
    rows = list(csv.DictReader((folder / "groups.csv").open()))
    inside = np.array([row["group"] == "bridge" for row in rows])
    turned = np.array([row["dihedral"] == "1" for row in rows])
    truth = np.where(inside[:, None] & inside, turned[:, None] | turned, 2)
    images = [decode((folder / row["file"]).read_bytes()) for row in rows]
    kinds = ("upright copies", "turned copies", "other pairs")
    return Set("one photo edited", images, kinds, truth)


def stage(script: str, *flags: object) -> None:
    """Run a stage script."""
    words = [sys.executable, str(ROOT / "src" / f"{script}.py"), *map(str, flags)]
    subprocess.run(words, check=True, stderr=subprocess.PIPE)


def prepare(photos: tuple[Path, ...], at: Path, *, weights: Path | None, config: list[str]) -> None:
    """Pack the photos, train the descriptor unless given, and fit a PCA on each kind of feature."""
    tables = []
    for i, folder in enumerate(photos):
        tables.append(at / f"photos-{i:05d}.parquet")
        place = ["--shard", i, "--shard-number", i, "--source", "photos", "--min-side", 16]
        files = ["--out-tar", at / f"{i}.tar", "--summary", at / f"{i}.s", "--out", tables[-1]]
        stage("ingest", "--folder", folder, *place, *files)
    sscd = at / "sscd.safetensors"
    if weights:
        sscd.symlink_to(weights.resolve())
    else:
        files = ["--log", at / "log.parquet", "--checkpoints", at / "ck", "--out", sscd]
        stage("train_sscd", "--images", *tables, *files, "--cache", True, *config)
    described = [at / f"described-{i:05d}.parquet" for i in range(len(tables))]
    for table, out in zip(tables, described, strict=True):
        files = ["--images", table, "--sscd", sscd, "--out", out, "--summary", at / "d.s"]
        stage("describe", *files, "--shard", "photos", *config)
    stage("fit_hash", "--descriptors", *described, "--out", at / "descriptor.pca")
    stage("fit_hash", "--images", *tables, "--out", at / "pixels.pca", "--features", "pixels")


def bits(images: list[Image.Image], method: str) -> np.ndarray:
    """imagehash's 64 bits of each image, (n,) uint64."""
    found = [getattr(imagehash, method)(image).hash.ravel() for image in images]
    return pca_hash.pack(np.stack(found))


def decisions(photos: Set, at: Path, config: tuple[Path, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """Name of every method with its threshold, and the pairs (n, n) it calls copies."""
    knobs = stage_knobs("describe", config)[0]
    model = sscd_files.load(at / "sscd.safetensors", device=torch.device("cpu"))
    inputs = [
        descriptors.resize(image, mode=knobs.resize, resolution=knobs.resolution)
        for image in photos.images
    ]
    found = descriptors.describe_pixels(model, inputs, device=torch.device("cpu")).numpy()
    for least in COSINES:
        yield f"SSCD, cosine > {least}", found @ found.T > least
    pixels = np.stack([pca_hash.pixel_features(image) for image in photos.images])
    hashes = {
        "PCA hash of SSCD": hashed(found, at / "descriptor.pca"),
        "PCA hash of pixels": hashed(pixels, at / "pixels.pca"),
        "pHash": bits(photos.images, "phash"),
        "dHash": bits(photos.images, "dhash"),
    }
    for name, values in hashes.items():
        for most in (0, 3, 10) if name.startswith("PCA") else (10,):
            yield f"{name}, {most} bits", distance(values[:, None], values) <= most


def hashed(features: np.ndarray, pca: Path) -> np.ndarray:
    """Hash features with a fitted artefact, in the precision they are stored in."""
    return pca_hash.project(features.astype(np.float16), pca_hash.load(pca), origin=pca)


def table(photos: Set, at: Path, config: tuple[Path, ...]) -> None:
    """Print a row for each method."""
    above = np.triu(np.ones_like(photos.truth, bool), 1)
    print(f"\n### {photos.name}, {len(photos.images)} images\n")
    print(f"| method | {' | '.join(photos.kinds)} | precision | recall |")
    print("|---|" + "---|" * (len(photos.kinds) + 2))
    kinds = range(len(photos.kinds))
    good = [kind for kind in kinds if "copies" in photos.kinds[kind]]
    totals = [(above & (photos.truth == kind)).sum() for kind in kinds]
    for name, said in decisions(photos, at, config):
        counts = [(said & above & (photos.truth == kind)).sum() for kind in kinds]
        shares = [f"{a} of {b}" for a, b in zip(counts, totals, strict=True)]
        right = sum(counts[kind] for kind in good)
        precision, recall = right / max(sum(counts), 1), right / sum(totals[k] for k in good)
        print(f"| {name} | {' | '.join(shares)} | {precision:.3f} | {recall:.3f} |")


def main(
    pairs: Path,
    groups: Path,
    photos: tuple[Path, ...],
    config: tuple[Path, ...] = (),
    weights: Path | None = None,
    keep: Path | None = None,
) -> None:
    """Measure.

    Args:
        pairs: Folder with pairs.csv.
        groups: Folder with groups.csv.
        photos: Folders of photos to train on, none of them among the others.
        config: YAML files whose blocks `train_sscd` and `describe` give the knobs.
        weights: A descriptor that is trained already.
        keep: Folder for what is trained; a temporary one when not given.
    """
    print(f"commit {commit()}; {platform.machine()}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        at = keep or Path(scratch)
        at.mkdir(parents=True, exist_ok=True)
        flags = ["--config", *map(str, config)] if config else []
        before = os.times()
        prepare(photos, at, weights=weights, config=flags)
        spent = os.times().children_user - before.children_user
        print(f"prepared in {spent / 60:.1f} minutes of processor time")
        for known in (read_pairs(pairs), read_groups(groups)):
            table(known, at, config)


if __name__ == "__main__":
    tyro.cli(main)
