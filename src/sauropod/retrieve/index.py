"""Nearest neighbours: a Faiss index proposes, the stored vectors decide.

One module serves copy detection (link) and retrieval. Two laws, both measured necessities:
- the index is always METRIC_L2 on normalised vectors (faiss's batched search is silently wrong for
  residual product codes with inner product; for unit vectors cosine = 1 - d2 / 2, so nothing is
  lost);
- codes only nominate. More candidates than wanted are fetched, re-ranked with the stored float16
  vectors, and every threshold is a threshold on that exact cosine.
Shapes: n stored vectors, q queries, d width, k neighbours.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from sauropod.errors import InputError
from sauropod.retrieve.draw import sample_vectors
from sauropod.retrieve.vectors import Shard, StoredVectors

log = logging.getLogger(__name__)

POINTS_PER_LIST = 39
"""Faiss's own minimum of training points per k-means centroid."""
CHUNK = 65_536
GPU_MOST_CANDIDATES = 2048


@dataclass(frozen=True, kw_only=True)
class Training:
    """What an index is trained on and for how long; more is slower and a little more accurate."""

    sample: int = 1_000_000
    list_iterations: int = 10
    code_iterations: int = 10
    rotation_iterations: int = 10
    seed: int = 0


def on_gpu() -> bool:
    """Whether this Faiss can search on a GPU of this machine."""
    return hasattr(faiss, "index_cpu_to_all_gpus") and faiss.get_num_gpus() > 0


def unit(vectors: np.ndarray) -> np.ndarray:
    """(n, d) vectors as float32 of length one; zero rows stay zero."""
    wide = vectors.astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    return np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)


def build(stored: StoredVectors, *, factory: str, training: Training) -> faiss.Index:
    """Train an index on a seeded sample of the stored vectors and add them all under their ids.

    Raises:
        InputError: there is no vector at all, or Faiss does not understand the factory string.
    """
    seed = training.seed
    sample = sample_vectors(stored.arrays(), size=training.sample, seed=seed, purpose="index")
    if len(sample) == 0:
        raise InputError(
            stored.paths[0] if stored.paths else stored.table.name,
            expected="at least one vector in the pool",
            found="none",
            fix="check the pool: every image was dropped by an earlier stage",
        )
    index = train(sample, factory=factory, training=training)
    add(index, stored)
    return index


def train(sample: np.ndarray, *, factory: str, training: Training) -> faiss.Index:
    """Train an empty L2 index that accepts ids.

    Args:
        sample: (n, d) training vectors in an order that does not depend on sharding.
        factory: a Faiss factory string without metric, e.g. "OPQ64_256,IVF262144_HNSW32,PQ64", or
            "Flat". When the sample is smaller than Faiss needs for it, "Flat" is used: exact and,
            for so few, fast.
        training: iteration counts and seed.

    Raises:
        InputError: Faiss does not understand the string for this width.
    """
    width = sample.shape[1]
    index = _build(width, factory)
    if len(sample) < _least_sample(index):
        log.info("%d vectors are too few to train %r: searching exactly", len(sample), factory)
        return _build(width, "Flat")
    alive = _prepare(index, training)
    index.train(unit(sample))
    del alive
    return index


def add(index: faiss.Index, shards: Iterable[Shard]) -> None:
    """Add every vector under its id."""
    for ids, vectors in shards:
        for start in range(0, len(ids), CHUNK):
            stop = start + CHUNK
            index.add_with_ids(unit(vectors[start:stop]), ids[start:stop].astype(np.int64))


def load(path: Path, *, num_probes: int) -> faiss.Index:
    """Read an index file and set how many lists a query visits.

    Raises:
        InputError: not an index of ours (unreadable, or not METRIC_L2).
    """
    fix = "build it again with link_index.py or index.py"
    try:
        index = faiss.read_index(str(path))
    except RuntimeError as error:
        raise InputError(
            path, expected="a Faiss index", found=str(error).splitlines()[-1], fix=fix
        ) from error
    if index.metric_type != faiss.METRIC_L2:
        raise InputError(path, expected="METRIC_L2", found=f"metric {index.metric_type}", fix=fix)
    inverted = _inverted(index)
    if inverted is not None:
        inverted.nprobe = min(num_probes, inverted.nlist)
        quantiser: Any = faiss.downcast_index(inverted.quantizer)
        if hasattr(quantiser, "hnsw"):
            quantiser.hnsw.efSearch = max(quantiser.hnsw.efSearch, 2 * inverted.nprobe)
    return index


def save(index: faiss.Index, path: Path) -> None:
    """Write the index to `path` (use with io.replacing)."""
    faiss.write_index(index, str(path))


def candidates(index: faiss.Index, queries: np.ndarray, *, count: int, origin: Path) -> np.ndarray:
    """Ids the index (of the file `origin`) proposes for (q, d) queries.

    Returns:
        (q, c) int64, c = min(count, vectors in the index), padded with -1.

    Raises:
        InputError: the queries have another width than the index.
    """
    count = min(count, index.ntotal)
    if count == 0 or len(queries) == 0:
        return np.full((len(queries), count), -1, np.int64)
    if queries.shape[1] != index.d:
        raise InputError(
            origin,
            expected=f"{queries.shape[1]} dimensions as the queries have",
            found=str(index.d),
            fix="compute the vectors of both sides with the same weights",
        )
    if on_gpu() and count <= GPU_MOST_CANDIDATES:
        index = faiss.index_cpu_to_all_gpus(index)
    found = [
        index.search(unit(queries[start : start + CHUNK]), count)[1]
        for start in range(0, len(queries), CHUNK)
    ]
    return np.concatenate(found)


def exact_similarities(
    queries: np.ndarray, proposed: np.ndarray, shards: Iterable[Shard], *, origin: Path
) -> np.ndarray:
    """Cosine of every query with each of its candidates, from the stored vectors.

    Args:
        queries: (q, d) vectors.
        proposed: (q, c) int64 ids, -1 where there is none.
        shards: the stored vectors, read one shard at a time; together they hold every proposed id.
        origin: the index file, named when an id has no stored vector.

    Returns:
        (q, c) float32 in [-1, 1]; -inf where the candidate is -1. A pair's value does not depend on
        batching.

    Raises:
        InputError: the index proposes an id that the shards do not hold.
    """
    similarities = np.full(proposed.shape, -np.inf, np.float32)
    rows, columns = np.nonzero(proposed >= 0)
    wanted = proposed[rows, columns].astype(np.uint64)
    order = np.argsort(wanted, kind="stable")
    rows, columns, wanted = rows[order], columns[order], wanted[order]
    normalised = unit(queries)
    found = 0
    for ids, vectors in shards:
        if len(ids) == 0:
            continue
        start, stop = np.searchsorted(wanted, ids[0]), np.searchsorted(wanted, ids[-1], "right")
        for low in range(start, stop, CHUNK):
            part = slice(low, min(low + CHUNK, stop))
            at = np.searchsorted(ids, wanted[part])
            held = ids[at] == wanted[part]
            r, c = rows[part][held], columns[part][held]
            pairs = np.einsum("nd,nd->n", normalised[r], unit(vectors[at[held]]))
            similarities[r, c] = np.clip(pairs, -1.0, 1.0)
            found += int(held.sum())
    if found != len(wanted):
        raise InputError(
            origin,
            expected="an index of the given vector files",
            found=f"{len(wanted) - found} candidates with no stored vector",
            fix="build the index again from these files",
        )
    return similarities


def nearest(
    proposed: np.ndarray, similarities: np.ndarray, *, count: int, but: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Keep each query's `count` most similar candidates, most similar first, ties by smaller id.

    Args:
        proposed: (q, c) int64 ids, -1 where there is none.
        similarities: (q, c) float32.
        count: neighbours wanted.
        but: (q,) ids never returned for that query (itself).

    Returns:
        ids (q, k) int64 and similarities (q, k) float32, k = min(count, c); -1 and -inf where there
        are fewer.
    """
    similarities = np.where(proposed < 0, -np.inf, similarities)
    if but is not None:
        similarities = np.where(proposed == but.astype(np.int64)[:, None], -np.inf, similarities)
    order = np.lexsort((proposed, -similarities), axis=1)[:, :count]
    best = np.take_along_axis(similarities, order, axis=1)
    ids = np.where(np.isneginf(best), -1, np.take_along_axis(proposed, order, axis=1))
    return ids, best.astype(np.float32)


def exact_nearest(
    queries: np.ndarray, shards: Iterable[Shard], *, count: int, but: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The true neighbours by comparing everything with everything; the oracle of the recall audit.

    Same arguments and results as `nearest`, reading the shards once.
    """
    ids = np.full((len(queries), 0), -1, np.int64)
    best = np.empty((len(queries), 0), np.float32)
    if len(queries) == 0:
        return ids, best
    normalised = unit(queries)
    for shard_ids, vectors in shards:
        for start in range(0, len(shard_ids), CHUNK):
            part = slice(start, start + CHUNK)
            block = normalised @ unit(vectors[part]).T
            if but is not None:
                block[shard_ids[part] == but[:, None]] = -np.inf
            names, block = _shortlist(shard_ids[part].astype(np.int64), block, count=count)
            ids, best = nearest(
                np.concatenate([ids, names], axis=1),
                np.concatenate([best, block], axis=1),
                count=count,
            )
    return ids, best


def _shortlist(
    ids: np.ndarray, similarities: np.ndarray, *, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce (q, n) similarities to those at least as large as each row's `count`-th, padded."""
    if similarities.shape[1] <= count:
        return np.broadcast_to(ids, similarities.shape), similarities
    limits = -np.partition(-similarities, count - 1, axis=1)[:, count - 1]
    chosen = [np.flatnonzero(row >= at) for row, at in zip(similarities, limits, strict=True)]
    width = max(len(columns) for columns in chosen)
    names = np.full((len(similarities), width), -1, np.int64)
    values = np.full((len(similarities), width), -np.inf, np.float32)
    for row, columns in enumerate(chosen):
        names[row, : len(columns)] = ids[columns]
        values[row, : len(columns)] = similarities[row, columns]
    return names, values


def recall(found: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Count the true neighbours (q, k) that were found, and all of them; -1 is no neighbour."""
    hits = sum(
        int(np.isin(true[true >= 0], mine).sum()) for true, mine in zip(truth, found, strict=True)
    )
    return hits, int((truth >= 0).sum())


def _build(width: int, factory: str) -> faiss.Index:
    spelled = factory if "IVF" in factory else f"IDMap2,{factory}"
    try:
        index = faiss.index_factory(width, spelled, faiss.METRIC_L2)
    except RuntimeError as error:
        raise InputError(
            Path("factory"),
            expected=f"a Faiss factory string for {width} dimensions",
            found=repr(factory),
            fix='for example "Flat" or "OPQ32_128,IVF1024,PQ32x4fs" (widths must divide)',
        ) from error
    assert index.metric_type == faiss.METRIC_L2
    return index


def _inverted(index: faiss.Index) -> Any:  # noqa: ANN401 - Faiss's stubs stop at Index
    """Find the inverted lists of an index (IndexIVF), or None."""
    try:
        return faiss.downcast_index(faiss.extract_index_ivf(index))
    except RuntimeError:
        return None


def _coded(index: faiss.Index) -> Any:  # noqa: ANN401 - Faiss's stubs stop at Index
    """Find the part of an index that holds a product quantiser (`.pq`), if it has one."""
    inner = _inverted(index)
    if inner is None and isinstance(index, faiss.IndexIDMap2):
        inner = faiss.downcast_index(index.index)
    return inner if hasattr(inner, "pq") else None


def _least_sample(index: faiss.Index) -> int:
    """Training vectors below which Faiss would warn or fail."""
    if index.is_trained:
        return 0
    inverted, coded = _inverted(index), _coded(index)
    lists = inverted.nlist if inverted is not None else 0
    return POINTS_PER_LIST * max(lists, coded.pq.ksub if coded is not None else 0)


def _prepare(index: faiss.Index, training: Training) -> list[object]:
    """Set iterations and seeds; returns what must stay alive while the index trains."""
    alive: list[object] = []
    inverted, coded = _inverted(index), _coded(index)
    if coded is not None:
        coded.pq.cp.niter = training.code_iterations
        coded.pq.cp.seed = training.seed
        if hasattr(coded, "do_polysemous_training"):
            coded.do_polysemous_training = False  # 50 times slower, for codes nobody would use
    if isinstance(index, faiss.IndexPreTransform):
        chain: Any = index.chain
        for position in range(chain.size()):
            transform = faiss.downcast_VectorTransform(chain.at(position))
            if isinstance(transform, faiss.OPQMatrix):
                transform.niter = training.rotation_iterations
                transform.niter_pq_0 = training.code_iterations
                if coded is not None:
                    # Left alone, Faiss learns the rotation for 8-bit codes whatever the index has.
                    code = coded.pq
                    transform.pq = faiss.ProductQuantizer(code.d, code.M, code.nbits)
                    alive.append(transform.pq)
    if inverted is not None:
        inverted.cp.niter = training.list_iterations
        inverted.cp.seed = training.seed
        if on_gpu():
            inverted.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(inverted.d))
            alive.append(inverted.clustering_index)
    return alive
