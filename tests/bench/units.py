"""Measure the plan's unit costs of curation on this machine, beside those the plan takes.

    OMP_NUM_THREADS=1 python tests/bench/units.py     # rows for RECORDS.md: median [min, max] of n
    OMP_NUM_THREADS=1 python tests/bench/units.py --names pair_products_per_core_s

Each is what one core does in a second of processor time, by the project's own code (or Faiss's, by
the project's settings). The last line says the days of deduplication and retrieval that follow;
what is not measured here (links and downloads: flat.py; networks: their operations) stays.
"""

import atexit
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import faiss
import numpy as np
import polars as pl
import tyro

from hash import jpegs

sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from sauropod import schema
from sauropod.config import Describe
from sauropod.dedup import descriptors, hamming, pca_hash
from sauropod.dedup.components import Components
from sauropod.dedup.pool import ROW_BITS
from sauropod.images import decode
from sauropod.io import commit
from sauropod.plan import plan
from sauropod.plan.costs import Fleet, units
from sauropod.plan.stages import Planner
from sauropod.retrieve import draw, exact, index, search
from sauropod.retrieve.vectors import StoredVectors

CONFIG = Path(__file__).parents[2] / "config/lvd142m.yaml"
ROWS, WIDTH, NARROW = 100_000, 512, 256  # descriptors, and what the rotation leaves of them
PAPER = Fleet(gpus=160, cores=800, gpu="V100")

Rate = Callable[[], float]
"""Does something once; returns units per second of processor time."""


def seconds(work: Callable[[], object]) -> float:
    """Time one run."""
    start = time.process_time()
    work()
    return time.process_time() - start


def unit_rows(number: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Random unit vectors (n, d) float16."""
    rows = np.random.default_rng(seed).standard_normal((number, width), np.float32)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def decodes() -> Rate:
    """JPEGs of 640 x 480 and about 45 kB, decoded and resized for the descriptor."""
    files, knobs = jpegs(100, patches=(60, 80), quality=87), Describe()

    def work() -> None:
        for data in files:
            descriptors.resize(decode(data), mode=knobs.resize, resolution=knobs.resolution)

    return lambda: len(files) / seconds(work)


def hashes() -> Rate:
    """Stored descriptors to hashes of 64 bits."""
    rows = unit_rows(ROWS, WIDTH)
    fitted = pca_hash.fit(rows[:20_000])
    return lambda: len(rows) / seconds(lambda: pca_hash.project(rows, fitted, origin=Path("bench")))


def hash_joins() -> Rate:
    """All pairs within 3 bits of a million hashes."""
    every = np.random.default_rng(0).integers(0, 2**64, 1_000_000, dtype=np.uint64)
    return lambda: len(every) / seconds(lambda: hamming.pairs_within(every, radius=3))


def codes() -> Rate:
    """Codes of 64 x 4 bits compared: visits of 64 lists less those of 8."""
    rows, lists = unit_rows(1_000_000, NARROW), 4096
    training = index.Training(list_iterations=4, code_iterations=4)
    built = index.train(rows[:160_000], factory=f"IVF{lists},PQ64x4fs", training=training)
    index.fill(built, [(np.arange(len(rows), dtype=np.uint64), rows)])
    queries, wide = rows[:2000], faiss.extract_index_ivf(built)

    def visits(num_probes: int) -> float:
        wide.nprobe = num_probes
        return seconds(lambda: index.candidates(built, queries, count=128))

    scanned = len(queries) * len(rows) * (64 - 8) / lists
    return lambda: scanned / (visits(64) - visits(8))


def centroid_products() -> Rate:
    """Vectors compared with 65,536 centroids, the nearest 64 of them chosen."""
    centroids = faiss.IndexFlatL2(NARROW)
    centroids.add(unit_rows(65_536, NARROW).astype(np.float32))
    queries = unit_rows(2000, NARROW, seed=1).astype(np.float32)
    count = len(queries) * centroids.ntotal * NARROW
    return lambda: count / seconds(lambda: centroids.search(queries, 64))


def pair_products() -> Rate:
    """Candidates gathered and compared with their query, as many for each as in the plan."""
    stored, queries = unit_rows(400_000, WIDTH), unit_rows(2000, WIDTH, seed=1)
    at = np.random.default_rng(0).integers(0, len(stored), (len(queries), 128))
    return lambda: at.size * WIDTH / seconds(lambda: exact.similarities(queries, at, stored))


def candidate_rows() -> Rate:
    """Rows of candidates found in a block of 25 million images."""
    shards = np.arange(20, dtype=np.uint64)[:, None] << np.uint64(ROW_BITS)
    ids = (shards | np.arange(1_250_000, dtype=np.uint64)).ravel()
    rows = search.Rows(ids)
    asked = np.random.default_rng(0).choice(ids, 2_000_000).astype(np.int64)
    return lambda: asked.size / seconds(lambda: rows(asked))


def numbers_read() -> Rate:
    """Descriptors read from Parquet and checked."""
    stored = _stored()
    return lambda: ROWS * WIDTH / seconds(stored.load)


def drawn_numbers() -> Rate:
    """The same, and keyed for a sample."""
    stored = _stored()

    def work() -> None:
        for _, vectors in stored:
            draw.vector_keys(vectors, seed=0, purpose="bench")

    return lambda: ROWS * WIDTH / seconds(work)


@cache
def _stored() -> StoredVectors:
    """A table of descriptors, on disk until the end."""
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder)
    path = Path(folder) / "descriptors.parquet"
    vectors = schema.vector_column(unit_rows(ROWS, WIDTH))
    frame = pl.DataFrame({"image_id": np.arange(ROWS, dtype=np.uint64), "descriptor": vectors})
    schema.write(frame, path, schema.DESCRIPTORS, made_by={})
    return StoredVectors([path], schema.DESCRIPTORS, unit=True)


def encodes() -> Rate:
    """Descriptors rotated and encoded, the choice of their list among 16 in it."""
    rows = unit_rows(ROWS, WIDTH)
    training = index.Training(list_iterations=1, code_iterations=4, rotation_iterations=2)
    built = index.train(rows[:10_000], factory="OPQ64_256,IVF16,PQ64x4fs", training=training)
    shard = np.arange(ROWS, dtype=np.uint64), rows
    return lambda: ROWS / seconds(lambda: index.fill(built, [shard]))


def edges() -> Rate:
    """Edges joined into components, a million nodes in all."""
    pairs = np.random.default_rng(0).integers(0, 1_000_000, (2, 3_000_000), dtype=np.int32)

    def work() -> None:
        found = Components(1_000_000)
        found.add(*pairs)
        found.labels()

    return lambda: pairs.shape[1] / seconds(work)


MEASURED = {
    "decodes_per_core_s": decodes,
    "hashes_per_core_s": hashes,
    "hash_joins_per_core_s": hash_joins,
    "codes_per_core_s": codes,
    "centroid_products_per_core_s": centroid_products,
    "pair_products_per_core_s": pair_products,
    "candidate_rows_per_core_s": candidate_rows,
    "numbers_read_per_core_s": numbers_read,
    "drawn_numbers_per_core_s": drawn_numbers,
    "encodes_per_core_s": encodes,
    "edges_per_core_s": edges,
}


def days(unit: dict[str, float]) -> float:
    """Days of deduplication and retrieval of the paper's configuration."""
    made = plan.make([CONFIG], fleet=PAPER)
    planner = Planner(made.planner.config, made.funnel, PAPER, unit)
    return plan.Plan(planner.stages(), made.funnel, PAPER, planner).dedup_days


def main(names: tuple[str, ...] = tuple(MEASURED), repeats: int = 3) -> None:
    """Measure.

    Args:
        names: Unit costs to measure.
        repeats: Measurements of each.
    """
    print(f"commit {commit()}; faiss {faiss.__version__}, n={repeats}\n")
    print("| unit cost | measured | the plan's | measured / the plan's |\n|-|-|-|-|")
    planned = units()
    measured = dict(planned)
    for name in names:
        rate = MEASURED[name]()
        rate()  # warms up
        found = [rate() for _ in range(repeats)]
        measured[name] = float(np.median(found))
        text = f"{measured[name]:.3g} [{min(found):.3g}, {max(found):.3g}]"
        share = measured[name] / planned[name]
        print(f"| {name} | {text} | {planned[name]:.3g} | {share:.2f} |", flush=True)
    print(f"\ndays with these: {days(measured):.2f}; with the plan's own: {days(planned):.2f}")


if __name__ == "__main__":
    tyro.cli(main)
