"""The index of a block: a Faiss quantiser trained once, filled with one block's codes.

Two laws, both measured necessities:
- the index is always METRIC_L2 on normalised vectors (faiss's batched search is silently wrong for
  residual product codes with inner product; for unit vectors cosine = 1 - d2 / 2, so nothing is
  lost);
- codes only nominate (search.py): their distances decide nothing.
Shapes: n stored vectors, q queries, d width.
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
SHORTLIST, PER_LIST = 64, 4
"""Centroids that a quantiser of codes compares exactly, at least: in all, and per list wanted."""
GPU_CHOICES = 2048
"""Lists a query visits, and candidates it gets, that Faiss chooses on a GPU, at most."""
GPU_CODES = (1, 2, 3, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 56, 64, 96)
"""Codes per vector that Faiss reads on a GPU, all of 8 bits."""
CHUNK = 65_536
SPREAD = 8
"""A sample is drawn from files of so many times its size: not all of a large pool is read."""


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
    return hasattr(faiss, "index_cpu_to_gpus_list") and faiss.get_num_gpus() > 0


def to_gpus(
    index: faiss.Index,
    *,
    gpus: list[int] | None = None,
    options: Any = None,  # noqa: ANN401 - not in stubs
) -> faiss.Index:
    """Copy an index to GPUs of this machine.

    Args:
        index: The index; none of what `for_gpus` refuses.
        gpus: Their numbers; None is all.
        options: Faiss's GpuMultipleClonerOptions.
    """
    return faiss.index_cpu_to_gpus_list(index, co=options, gpus=gpus)


def unit(vectors: np.ndarray) -> np.ndarray:
    """(n, d) vectors as float32 of length one; zero rows stay zero."""
    wide = vectors.astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", wide, wide))[:, None]
    return np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)


def fit(stored: StoredVectors, *, factory: str, training: Training) -> faiss.Index:
    """Train an empty index on a seeded sample of stored vectors.

    Raises:
        InputError: there is no vector at all, or Faiss does not understand the factory string.
    """
    seed, size = training.seed, training.sample
    some = stored.some(rows=SPREAD * size, seed=seed)
    sample = sample_vectors(some.arrays(), size=size, seed=seed, purpose="index")
    if len(sample) == 0:
        raise InputError(
            stored.paths[0] if stored.paths else stored.table.name,
            expected="at least one vector in the pool",
            found="none",
            fix="check the pool: every image was dropped by an earlier stage",
        )
    return train(sample, factory=factory, training=training)


def train(sample: np.ndarray, *, factory: str, training: Training) -> faiss.Index:
    """Train an empty L2 index that accepts ids.

    Args:
        sample: (n, d) training vectors in an order that does not depend on sharding.
        factory: a Faiss factory string without metric, e.g. "OPQ64_256,IVF16384,PQ64", or
            "Flat". When the sample is smaller than Faiss needs for it, "Flat" is used: exact and,
            for so few, fast.
        training: iteration counts and seed.

    Raises:
        InputError: Faiss does not understand the string for this width.
    """
    width = sample.shape[1]
    index = _build(width, factory)
    _check_lists(index, factory)
    least = _least_sample(index)
    if len(sample) < least:
        text = "%d vectors are too few to train %r, which takes %d: searching exactly"
        log.warning(text, len(sample), factory, least)
        return _build(width, "Flat")
    alive = _prepare(index, training)
    index.train(unit(sample))
    del alive
    _set_effort(_inverted(index), num_lists=1)
    return index


def is_exact(index: faiss.Index) -> bool:
    """Whether this is an index of nothing: everything is compared with everything."""
    return isinstance(index, faiss.IndexIDMap2) and isinstance(
        faiss.downcast_index(index.index), faiss.IndexFlat
    )


def fill(index: faiss.Index, shards: Iterable[Shard]) -> int:
    """Add every vector under its id, none to an exact index; returns how many vectors there are."""
    count = 0
    for ids, vectors in shards:
        count += len(ids)
        if vectors.shape[1] != index.d:
            where, fix = "--trained", "train it on vectors of the same weights"
            expected = f"an index of {vectors.shape[1]} dimensions"
            raise InputError(where, expected=expected, found=str(index.d), fix=fix)
        for start in range(0, 0 if is_exact(index) else len(ids), CHUNK):
            stop = start + CHUNK
            index.add_with_ids(unit(vectors[start:stop]), ids[start:stop].astype(np.int64))
    return count


def load(path: Path) -> faiss.Index:
    """Read an index file into memory, to be filled.

    Raises:
        InputError: not an index of ours (unreadable, or not METRIC_L2).
    """
    return _read(path, 0)


def load_to_search(path: Path, *, num_probes: int, count: int) -> faiss.Index:
    """Open an index file and set how many lists a query visits.

    Its lists stay on disk, mapped into memory, where their layout allows (codes of 8 bits; those
    of Faiss's fast scan are read); where there are GPUs that search its kind, on all of them.

    Args:
        path: The index.
        num_probes: Lists that a query visits.
        count: Candidates that a query will want, at most.

    Raises:
        InputError: not an index of ours (unreadable, or not METRIC_L2).
    """
    index = _read(path, faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
    inverted = _inverted(index)
    if inverted is not None:
        inverted.nprobe = min(num_probes, inverted.nlist)
        _set_effort(inverted, num_lists=inverted.nprobe)
    if not on_gpu():
        return index
    if for_gpus(inverted, count=count):
        return _on_gpus(index)
    log.info("%s: Faiss has no such search on GPUs, cores do it", path)
    return index


def save(index: faiss.Index, path: Path) -> None:
    """Write the index to `path` (use with io.replacing).

    Python's file, not Faiss's own: that one is silent about what a full disk keeps it from
    writing at the end.
    """
    with path.open("wb", buffering=1 << 20) as file:
        writer = faiss.PyCallbackIOWriter(file.write, 1 << 20)  # type: ignore[attr-defined]
        faiss.write_index(index, writer)


def candidates(index: faiss.Index, queries: np.ndarray, *, count: int) -> np.ndarray:
    """Ids the index proposes for (q, d) queries of its width.

    Returns:
        (q, c) int64, c = min(count, vectors in the index), padded with -1.
    """
    count = min(count, index.ntotal)
    if count == 0 or len(queries) == 0:
        return np.full((len(queries), count), -1, np.int64)
    return index.search(unit(queries), count)[1]


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


def _read(path: Path, flags: int) -> faiss.Index:
    fix = "remove it and run again"
    try:
        index = faiss.read_index(str(path), flags)
    except RuntimeError as error:
        raise InputError(
            path, expected="a Faiss index", found=str(error).splitlines()[-1], fix=fix
        ) from error
    if index.metric_type != faiss.METRIC_L2:
        raise InputError(path, expected="METRIC_L2", found=f"metric {index.metric_type}", fix=fix)
    return index


def for_gpus(inverted: Any, *, count: int) -> bool:  # noqa: ANN401 - Faiss's stubs stop at Index
    """Whether Faiss has these inverted lists on GPUs; asked for others, it fails.

    Args:
        inverted: The IndexIVF, or None.
        count: Candidates that a query will want.
    """
    kind = type(inverted)
    coded = kind is faiss.IndexIVFPQ and inverted.pq.nbits == 8 and inverted.pq.M in GPU_CODES
    has = coded or kind is faiss.IndexIVFFlat
    return has and max(inverted.nprobe, count) <= GPU_CHOICES


def _on_gpus(index: faiss.Index) -> faiss.Index:
    """Copy an index to all GPUs."""
    inverted = _inverted(index)
    # GPUs have no graphs, and need none: they compare with all centroids.
    centroids = faiss.IndexFlatL2(inverted.d)
    centroids.add(inverted.quantizer.reconstruct_n(0, inverted.nlist))
    inverted.quantizer, inverted.own_fields = centroids, False
    options = faiss.GpuMultipleClonerOptions()
    options.useFloat16 = True  # tables of 64 codes fit into shared memory only so
    return to_gpus(index, options=options)


def _set_effort(inverted: Any, *, num_lists: int) -> None:  # noqa: ANN401 - as below
    """Make a quantiser that does not compare all centroids find most of the nearest lists.

    Faiss's own efforts do not grow with the lists that are wanted, and no factory string says
    them: codes of centroids (`IVF65536(PQ128x4fs,RFlat)`) would decide alone.
    """
    if inverted is None:
        return
    quantiser: Any = faiss.downcast_index(inverted.quantizer)
    if hasattr(quantiser, "hnsw"):
        quantiser.hnsw.efSearch = max(quantiser.hnsw.efSearch, 2 * num_lists)
    if hasattr(quantiser, "k_factor"):
        quantiser.k_factor = max(PER_LIST, SHORTLIST / num_lists)


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


def _check_lists(index: faiss.Index, factory: str) -> None:
    """Codes of centroids are learned from the centroids: they must be enough for it."""
    inverted = _inverted(index)
    if inverted is None:
        return
    quantiser: Any = faiss.downcast_index(inverted.quantizer)
    coded: Any = faiss.downcast_index(getattr(quantiser, "base_index", quantiser))
    least = POINTS_PER_LIST * coded.pq.ksub if hasattr(coded, "pq") else 0
    if inverted.nlist < least:
        raise InputError(
            Path("factory"),
            expected=f"at least {least} lists for codes of their centroids",
            found=repr(factory),
            fix="leave out the parentheses: few centroids are compared as they are",
        )


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
            inverted.clustering_index = to_gpus(faiss.IndexFlatL2(inverted.d))
            alive.append(inverted.clustering_index)
    return alive
