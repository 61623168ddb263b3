"""Whole deduplication of a folder of images: ours beside imagededup.

    python tests/bench/dedup20k.py --sscd sscd.safetensors --config config/photos.yaml

Renders 20,000 JPEGs from a seed: 2,000 originals with six edits each, and 6,000 others. Each side
is a process of its own that gets the folder and gives groups or pairs of file names; its time is
that of the whole process, its memory the proportional set size of its tree. imagededup takes part
where it can be imported, with the threshold it ships (10 bits); it is no dependency. Prints
Markdown.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import combinations, groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import polars as pl
import psutil
import tyro

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.config import Dedup, Hash, Ingest, Link
from sauropod.io import commit
from sauropod.load_config import stage_knobs

Name = Literal["hash", "sscd", "imagededup"]
ORIGINALS, OTHERS = 2_000, 6_000
EDITS = ("jpeg", "half", "bright", "crop", "text", "blur")
WIDTH, HEIGHT = 256, 192
COSINE = 0.75
"""What the authors of SSCD advise; a small descriptor chains strangers together at less."""
LABELS = {
    "hash": "ours, PCA hash of pixels, at most 3 bits",
    "sscd": "ours, SSCD, cosine > 0.75",
    "imagededup": "imagededup PHash, at most 10 bits",
}


def scene(key: int) -> np.ndarray:
    """A picture of its own: a shaded ground, a dozen shapes, grain; uint8 (192, 256, 3)."""
    rng = np.random.Generator(np.random.Philox(key=[0, key]))
    coarse = rng.integers(0, 256, (rng.integers(2, 6), rng.integers(2, 6), 3), np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(6, 18)):
        colour = rng.integers(256, size=3).tolist()
        x, y = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        a, b = rng.integers(6, 60, 2).tolist()
        if rng.random() < 0.5:
            turn = float(rng.uniform(0, 180))
            cv2.ellipse(image, (x, y), (a, b), turn, 0, 360, colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(image, (x - a, y - b), (x + a, y + b), colour, -1)
    grain = rng.normal(0, 4, image.shape)
    return np.clip(image + grain, 0, 255).astype(np.uint8)


def edited(image: np.ndarray, edit: str) -> tuple[np.ndarray, int]:
    """One of the six edits, and the quality to encode it with."""
    height, width = image.shape[:2]
    if edit == "jpeg":
        return image, 30
    if edit == "half":
        half = cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        return half, 90
    if edit == "bright":
        return np.clip(image * 1.2, 0, 255).astype(np.uint8), 90
    if edit == "crop":
        y, x = height // 20, width // 20
        return image[y : height - y, x : width - x], 90
    if edit == "text":
        at, font = (width // 10, height // 2), cv2.FONT_HERSHEY_SIMPLEX
        return cv2.putText(image.copy(), "sale!", at, font, 2, (255, 255, 255), 4, cv2.LINE_AA), 90
    return cv2.GaussianBlur(image, (0, 0), 2), 90


def write(folder: Path, key: int) -> None:
    """Write an image, and its edits when it has any, as `key-edit.jpg`."""
    image = scene(key)
    versions = {"original": (image, 90)}
    if key < ORIGINALS:
        versions |= {edit: edited(image, edit) for edit in EDITS}
    for name, (pixels, quality) in versions.items():
        path = str(folder / f"{key:06d}-{name}.jpg")
        assert cv2.imwrite(path, pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


def render(folder: Path) -> None:
    """Write all images, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        return
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(partial(write, folder), range(ORIGINALS + OTHERS), chunksize=100))


@dataclass(frozen=True)
class Measured:
    """What a side took and found."""

    seconds: float
    cpu_seconds: float
    """Processor time of all its processes: what a busy machine distorts least."""
    peak: int
    """Bytes."""
    groups: list[list[str]]


def apart(stage: Callable[..., None], *args: object, **flags: object) -> None:
    """Run a stage in a process of its own, which gives its memory back."""
    process = get_context("fork").Process(target=stage, args=args, kwargs=flags)
    process.start()
    process.join()
    assert process.exitcode == 0, stage.__module__


@dataclass(frozen=True)
class Ours:
    """Our stages one after the other on one shard, each a process of its own; files in `at`."""

    at: Path
    weights: Path
    config: tuple[Path, ...]

    def images(self, folder: Path) -> Path:
        """Pack the folder."""
        import ingest

        out, tar = self.at / "images/pool.parquet", self.at / "pool.tar"
        knobs, place = Ingest(min_side=16), ("pool", "pool", 0)
        apart(ingest.main, *place, out, tar, self.at / "packed", knobs, folder=folder)
        return out

    def duplicates(self, table: Path, knobs: Hash, **features: tuple[Path, ...]) -> Path:
        """Hash, and group equal or near hashes."""
        import fit_hash
        import group_hashes
        import hash as hashing

        pca, hashes = self.at / "pca.safetensors", self.at / "hashes/pool.parquet"
        out = self.at / "duplicates.parquet"
        apart(fit_hash.main, pca, knobs, **features)
        apart(hashing.main, pca, "pool", hashes, self.at / "hashed", knobs, **features)
        apart(group_hashes.main, (hashes,), (table,), out, self.at / "grouped", knobs)
        return out

    def hash(self, folder: Path) -> pl.DataFrame:
        """Groups by the hash of pixels: image_id and group."""
        images = self.images(folder)
        found = self.duplicates(images, Hash(features="pixels", radius=3), images=(images,))
        return pl.read_parquet(found).rename({"duplicate_of": "group"})

    def sscd(self, folder: Path) -> pl.DataFrame:
        """Groups by descriptors: equal hashes first, then components of near ones."""
        import dedup
        import describe
        import link
        import link_index
        import link_merge
        import link_train

        images, described = self.images(folder), self.at / "descriptors/pool.parquet"
        knobs = stage_knobs("describe", self.config)[0]
        flags = {"knobs": knobs, "num_threads": 2}
        apart(
            describe.main, images, self.weights, "pool", described, self.at / "described", **flags
        )
        same = self.duplicates(images, Hash(), descriptors=(described,))
        trained, index, part = (self.at / name for name in ("trained", "index", "part"))
        edges, out = self.at / "edges/pool.parquet", self.at / "copies"
        search = Link(factory="Flat", audit=0, threshold=COSINE)
        apart(link_train.main, (described,), trained, search)
        apart(link_index.main, (described,), same, trained, index)
        apart(link.main, (described,), (described,), same, index, part, search)
        apart(link_merge.main, (part,), same, "pool", edges, self.at / "linked", search)
        rules = Dedup(copy_threshold=COSINE, references=())
        apart(
            dedup.main, (edges,), (images,), same, out, self.at / "done", self.at / "sizes", rules
        )
        return pl.read_parquet(out).select("image_id", group="component")

    def groups(self, folder: Path, name: Name) -> list[list[str]]:
        """File names of each group of more than one."""
        found = self.hash(folder) if name == "hash" else self.sscd(folder)
        owners = found.select(image_id="group", group="group")
        urls = pl.read_parquet(self.at / "images/pool.parquet", columns=["image_id", "url"])
        named = pl.concat([found, owners]).unique().join(urls, on="image_id")
        return (
            named.group_by("group").agg("url").filter(pl.col("url").list.len() > 1)["url"].to_list()
        )


def theirs(folder: Path) -> list[list[str]]:
    """Pairs that imagededup finds as it comes: PHash, at most 10 bits, all processors."""
    from imagededup.methods import PHash

    method = PHash(verbose=False)
    found = method.find_duplicates(image_dir=folder)
    return [[a, b] for a, others in found.items() for b in others if a < b]


def run(name: Name, folder: Path, *, weights: Path, config: tuple[Path, ...]) -> Measured:
    """Run one side in a process of its own and watch it."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "groups.json"
        flags = ["--side", name, "--folder", folder, "--out", out, "--sscd", weights]
        start, before = time.perf_counter(), os.times()
        words = [sys.executable, __file__, *flags, *(["--config", *config] if config else [])]
        with (Path(scratch) / "log").open("w+") as log:
            process = subprocess.Popen(list(map(str, words)), stdout=log, stderr=log)
            peak = 0
            while process.poll() is None:
                peak = max(peak, memory(process.pid))
                time.sleep(0.2)
            log.seek(0)
            assert process.returncode == 0, log.read()
        seconds, after = time.perf_counter() - start, os.times()
        cpu = after.children_user + after.children_system
        cpu -= before.children_user + before.children_system
        return Measured(seconds, cpu, peak, json.loads(out.read_text()))


def memory(pid: int) -> int:
    """Proportional set size of a process and all its children, bytes."""
    total = 0
    try:
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            total += process.memory_full_info().pss
    except psutil.Error:  # it ended meanwhile
        pass
    return total


def pairs(groups: list[list[str]]) -> set[tuple[str, str]]:
    """Every pair inside a group, in order."""
    return {pair for group in groups for pair in combinations(sorted(group), 2)}


def report(name: Name, measured: Measured, *, true: set[tuple[str, str]]) -> None:
    """Print a row of the table."""
    found = pairs(measured.groups)
    right = len(found & true)
    precision, recall = right / max(len(found), 1), right / len(true)
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    scores = f"{precision:.4f} | {recall:.4f} | {f1:.4f}"
    cost = f"{measured.seconds:.1f} | {measured.cpu_seconds:.1f} | {measured.peak / 2**20:.0f}"
    print(f"| {LABELS[name]} | {cost} | {scores} | {len(found):,} |", flush=True)


def by_edit(groups: list[list[str]]) -> str:
    """Share of each edit's images that were found as a copy of their original."""
    found = pairs(groups)
    text = []
    for edit in EDITS:
        keys = range(ORIGINALS)
        names = [sorted([f"{k:06d}-original.jpg", f"{k:06d}-{edit}.jpg"]) for k in keys]
        text.append(f"{edit} {sum(tuple(pair) in found for pair in names) / ORIGINALS:.3f}")
    return ", ".join(text)


def main(
    sscd: Path | None = None,
    config: tuple[Path, ...] = (),
    side: Name | None = None,
    folder: Path | None = None,
    out: Path | None = None,
) -> None:
    """Measure.

    Args:
        sscd: Weights of the descriptor; without, only the hash is measured.
        config: YAML files whose block `describe` says how images are resized.
        side: Run this side alone, on `folder` (the bench calls itself so).
        folder: Where the images are, or are rendered to; a temporary one when not given.
        out: Where the side's groups go (JSON).
    """
    if side and folder and out:
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            mine = Ours(Path(scratch), sscd or Path(), config)
            found = theirs(folder) if side == "imagededup" else mine.groups(folder, side)
            out.write_text(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as scratch:
        place = folder or Path(scratch)
        render(place)
        every = sorted(path.name for path in place.iterdir())
        originals = every[: ORIGINALS * (1 + len(EDITS))]
        copies = [list(group) for _, group in groupby(originals, lambda name: name[:6])]
        print(f"commit {commit()}; {platform.machine()}, {len(every):,} images\n")
        print("| side | seconds | CPU s | peak MiB | precision | recall | F1 | pairs |")
        print("|---|---|---|---|---|---|---|---|", flush=True)
        names: list[Name] = ["hash", *(["sscd"] if sscd else [])]
        names += ["imagededup"] if find_spec("imagededup") else []
        edits = []
        for name in names:
            measured = run(name, place, weights=sscd or Path(), config=config)
            report(name, measured, true=pairs(copies))
            edits.append(f"- {LABELS[name]}: {by_edit(measured.groups)}")
        print("\nEdits found as copies of their original:\n", *edits, sep="\n")
        if "imagededup" not in names:
            print("\nimagededup cannot be imported here and takes no part.")


if __name__ == "__main__":
    tyro.cli(main)
