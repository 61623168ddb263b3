"""Measure the PCA hash and the Hamming join beside imagehash.

    python tests/bench/hash.py --repeats 5

Prints rows for RECORDS.md, medians [min, max] of n, ours and the peer in turn. No peer ends the
join in time: imagehash would compare every pair of hashes.
"""

import io
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imagehash
import numpy as np
import tyro
from PIL import Image

from turns import spread

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod.dedup import hamming, pca_hash
from sauropod.images import decode
from sauropod.io import commit


def seconds(work: Callable[[], object]) -> float:
    """Time one run."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def jpegs(count: int, *, patches: tuple[int, int] = (12, 16), quality: int = 75) -> list[bytes]:
    """Random 640x480 JPEGs, smooth between rows and columns of patches."""
    rng = np.random.default_rng(0)
    files = []
    for _ in range(count):
        small = rng.integers(0, 255, (*patches, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        image = Image.fromarray(small).resize((640, 480), Image.Resampling.BICUBIC)
        image.save(buffer, "JPEG", quality=quality)
        files.append(buffer.getvalue())
    return files


def pixels(repeats: int) -> None:
    """JPEG bytes to hashes, images per second."""
    files = jpegs(200)
    fitted = pca_hash.fit(np.random.default_rng(0).normal(size=(2000, 1024)).astype(np.float32))

    def ours() -> None:
        small = [decode(data, draft=pca_hash.THUMBNAIL_SIDE, grey=True) for data in files]
        rows = np.stack([pca_hash.pixel_features(image) for image in small])
        pca_hash.project(rows, fitted, origin=Path("bench"))

    def peer() -> None:
        for data in files:
            imagehash.phash(Image.open(io.BytesIO(data)))

    pairs = [(len(files) / seconds(ours), len(files) / seconds(peer)) for _ in range(repeats)]
    rates, theirs = zip(*pairs, strict=True)
    faster = [a / b for a, b in pairs]
    name = "PCA hash of JPEGs 640x480 (pixels)"
    row = [f"{spread(rates, digits=0)} images/s", f"imagehash.phash {spread(theirs, digits=0)}"]
    print(f"| {name} | {' | '.join(row)} | {spread(faster, digits=1)}x | n={repeats} |")


def descriptors(repeats: int, count: int = 200_000) -> None:
    """Stored float16 descriptors to hashes, images per second."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((count, 512), np.float32) * np.linspace(
        2, 0.3, 512, dtype=np.float32
    )
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    fitted = pca_hash.fit(rows[:20_000])
    rates = [
        count / seconds(lambda: pca_hash.project(rows, fitted, origin=Path("bench")))
        for _ in range(repeats)
    ]
    print(f"| PCA hash of descriptors | {spread(rates, digits=0)} images/s | n={repeats} |")


def join(repeats: int) -> None:
    """All pairs within 3 bits of 1 M hashes with 100,000 planted pairs."""
    rng = np.random.default_rng(0)
    base = rng.integers(0, 2**64, 900_000, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (100_000, 3), dtype=np.uint64)
    every = np.concatenate([base, base[:100_000] ^ np.bitwise_or.reduce(flips, axis=1)])
    found = {tuple(pair) for pair in hamming.pairs_within(every, radius=3).tolist()}
    planted = sum((i, 900_000 + i) in found for i in range(100_000))
    times = [seconds(lambda: hamming.pairs_within(every, radius=3)) for _ in range(repeats)]
    text = f"{spread(times, digits=2)} s | {planted:,} of 100,000 planted pairs"
    print(f"| Hamming join 1 M, radius 3 | {text} | n={repeats} |")


def main(repeats: int = 5) -> None:
    """Measure.

    Args:
        repeats: Turns of each measurement.
    """
    print(f"commit {commit()}; {platform.machine()}, {platform.python_version()}", flush=True)
    for measure in (pixels, descriptors, join):
        measure(repeats)


if __name__ == "__main__":
    tyro.cli(main)
