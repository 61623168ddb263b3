"""retrieve.index: L2 always, trained once, filled by block, mapped from disk, and files unfit."""

import errno
import resource
from pathlib import Path

import faiss
import numpy as np
import pytest

from sauropod import io, schema
from sauropod.errors import InputError
from sauropod.retrieve import index
from sauropod.retrieve.vectors import StoredVectors

QUICK = index.Training(list_iterations=4, code_iterations=4, rotation_iterations=4)
RESIDUAL = "IVF8,PQ8x4"
FACTORIES = ["IVF8,Flat", RESIDUAL, "OPQ8_16,IVF8,PQ8x4fs", "OPQ8_16,IVF8_HNSW8,PQ8x4"]


@pytest.fixture(scope="module")
def points() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((100, 32))
    vectors = centres[np.arange(1000) % 100] + 0.4 * rng.standard_normal((1000, 32))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    ids = np.sort(rng.choice(2**62, 1000, replace=False)).astype(np.uint64)
    return ids, vectors.astype(np.float16)


@pytest.mark.parametrize("factory", FACTORIES)
def test_codes_propose_true_neighbours(
    factory: str, points: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """Finding 3: residual codes with inner products search wrongly; ours are L2, read or mapped."""
    ids, vectors = points
    built = index.train(vectors, factory=factory, training=QUICK)
    shards = [(ids[:300], vectors[:300]), (ids[300:], vectors[300:])]
    assert index.fill(built, shards) == built.ntotal == 1000
    index.save(built, tmp_path / "x.faiss")
    loaded = index.load_to_search(tmp_path / "x.faiss", num_probes=8, count=200)
    assert loaded.metric_type == faiss.METRIC_L2
    proposed = index.candidates(loaded, vectors[:50], count=200)
    cosines = index.unit(vectors[:50]) @ index.unit(vectors).T
    truth = ids.astype(np.int64)[np.argsort(-cosines, axis=1)[:, :4]]
    hits = sum(np.isin(true, mine).sum() for true, mine in zip(truth, proposed, strict=True))
    assert hits == 200 if "Flat" in factory else hits > 190


@pytest.mark.parametrize(
    ("factory", "num_probes", "count", "expected"),
    [
        ("IVF8,Flat", 8, 200, True),
        ("OPQ8_16,IVF8_HNSW8,PQ8", 8, 2048, True),
        ("IVF8,PQ8", 8, 2049, False),
        ("IVF4096,PQ8", 2049, 200, False),
        ("IVF8,PQ8x4", 8, 200, False),  # codes of 4 bits
        ("OPQ5_20,IVF8,PQ5", 8, 200, False),  # 5 codes
        ("OPQ8_16,IVF8,PQ8x4fs", 8, 200, False),
        ("Flat", 8, 200, False),
    ],
)
def test_what_gpus_have(factory: str, num_probes: int, count: int, expected: bool) -> None:
    """Faiss's GpuIndexIVFPQ throws on what verifyPQSettings_ and validateKSelect do not allow."""
    built = faiss.index_factory(32, factory)
    inverted = index._inverted(built)
    if inverted is not None:
        inverted.nprobe = num_probes
    assert index.for_gpus(inverted, count=count) is expected


def test_what_gpus_lack_is_searched_by_cores(
    points: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    built = index.train(points[1], factory=RESIDUAL, training=QUICK)
    index.save(built, tmp_path / "x.faiss")
    monkeypatch.setattr(index, "on_gpu", lambda: True)
    with caplog.at_level("INFO"):
        opened = index.load_to_search(tmp_path / "x.faiss", num_probes=8, count=50)
    assert isinstance(opened, faiss.IndexIVFPQ)
    assert "x.faiss: Faiss has no such search on GPUs, cores do it" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not index.on_gpu(), reason="needs faiss-gpu and a GPU")
@pytest.mark.parametrize("factory", ["IVF8,Flat", "IVF8,PQ8", "OPQ8_16,IVF8_HNSW8,PQ8"])
def test_gpus_propose_what_processors_do(
    factory: str, points: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    ids, vectors = points
    built = index.train(vectors, factory=factory, training=QUICK)
    index.fill(built, [points])
    index.save(built, tmp_path / "x.faiss")
    index._inverted(built).nprobe = 8
    opened = index.load_to_search(tmp_path / "x.faiss", num_probes=8, count=50)
    assert index._inverted(opened) is None, "it is on the GPU"
    theirs, mine = (index.candidates(one, vectors[:50], count=50) for one in (opened, built))
    assert np.isin(mine, ids.astype(np.int64)).all()
    shared = [len(np.intersect1d(*rows)) for rows in zip(mine, theirs, strict=True)]
    assert np.mean(shared) > 45  # tables in half precision


def test_batched_search_agrees(points: tuple[np.ndarray, np.ndarray]) -> None:
    """Faiss's big_batch_search must agree with search on our indexes; with inner products and
    residual codes (Faiss's default) it does not, which is why they are L2."""
    from faiss.contrib.big_batch_search import big_batch_search

    _, vectors = points
    agreement = {}
    for metric in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        built = faiss.index_factory(32, RESIDUAL, metric)
        built.nprobe = 8
        built.train(index.unit(vectors))
        built.add(index.unit(vectors))
        _, one = built.search(index.unit(vectors[:100]), 4)
        _, many = big_batch_search(
            built, index.unit(vectors[:100]), 4, method="knn_function", verbose=1
        )
        agreement[metric] = (one == many).mean()
    assert agreement[faiss.METRIC_L2] > 0.99
    assert agreement[faiss.METRIC_INNER_PRODUCT] < 0.9


def test_lists_stay_on_disk(points: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    ids, vectors = points
    built = index.train(vectors, factory="IVF8,PQ8x4", training=QUICK)
    index.fill(built, [points])
    index.save(built, tmp_path / "x.faiss")
    opened = index.load_to_search(tmp_path / "x.faiss", num_probes=8, count=200)
    lists = faiss.downcast_InvertedLists(faiss.extract_index_ivf(opened).invlists)
    assert isinstance(lists, faiss.OnDiskInvertedLists)
    in_memory = index.load(tmp_path / "x.faiss")
    index.fill(in_memory, [(ids + np.uint64(1), vectors)])
    assert in_memory.ntotal == 2000


def test_lists_chosen_by_codes_are_the_nearest(tmp_path: Path) -> None:
    """Faiss's default compares no centroid exactly that the codes do not rank first."""
    vectors = np.random.default_rng(0).standard_normal((24_336, 16)).astype(np.float16)
    built = index.train(vectors, factory="IVF624(PQ8x4fs,RFlat),PQ8x4fs", training=QUICK)
    index.save(built, tmp_path / "x.faiss")
    opened = index.load_to_search(tmp_path / "x.faiss", num_probes=4, count=200)
    quantiser = faiss.downcast_index(faiss.extract_index_ivf(opened).quantizer)
    centroids, queries = quantiser.reconstruct_n(0, 624), index.unit(vectors[:500])
    distances = ((queries[:, None] - centroids) ** 2).sum(-1)
    truth = distances.argsort(axis=1)[:, :4]

    def share_found() -> float:
        found = quantiser.search(queries, 4)[1]
        return float(np.mean([np.isin(*rows).mean() for rows in zip(truth, found, strict=True)]))

    assert share_found() > 0.95
    quantiser.k_factor = 1
    assert share_found() < 0.8


def test_training_twice_gives_the_same_index(points: tuple[np.ndarray, np.ndarray]) -> None:
    found = []
    for _ in range(2):
        built = index.train(points[1], factory="OPQ8_16,IVF8,PQ8x4", training=QUICK)
        index.fill(built, [points])
        found.append(faiss.serialize_index(built).tobytes())
    assert found[0] == found[1]


def test_few_vectors_are_searched_exactly() -> None:
    built = index.train(np.eye(8, dtype=np.float16), factory="IVF256,PQ4", training=QUICK)
    assert index.is_exact(built)
    assert index.fill(built, [(np.arange(8, dtype=np.uint64), np.eye(8, dtype=np.float16))]) == 8
    assert built.ntotal == 0


def test_unit_leaves_zero_rows_alone() -> None:
    rows = index.unit(np.array([[3, 4], [0, 0]], np.float16))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0]])


def test_a_full_disk_leaves_nothing(points: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """Files may not grow beyond 20,000 bytes: writing fails half way."""
    built = index.train(points[1], factory="IVF8,Flat", training=QUICK)
    index.fill(built, [points])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with (
            pytest.raises(OSError, match="too large") as full,
            io.replacing(tmp_path / "x.faiss") as temporary,
        ):
            index.save(built, temporary)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert full.value.errno == errno.EFBIG
    assert list(tmp_path.iterdir()) == []


def test_user_mistakes_are_one_sentence(tmp_path: Path) -> None:
    sample = np.eye(32, dtype=np.float16)
    with pytest.raises(InputError, match="factory string for 32 dimensions"):
        index.train(sample, factory="IVF8,PQ5", training=QUICK)
    with pytest.raises(InputError, match="at least 624 lists for codes of their centroids"):
        index.train(sample, factory="IVF8(PQ8x4fs,RFlat),PQ8x4", training=QUICK)
    (tmp_path / "junk.faiss").write_bytes(b"junk")
    for name in ("junk.faiss", "missing.faiss"):
        with pytest.raises(InputError, match="a Faiss index"):
            index.load(tmp_path / name)
    faiss.write_index(faiss.IndexFlatIP(4), str(tmp_path / "ip.faiss"))
    with pytest.raises(InputError, match="METRIC_L2"):
        index.load_to_search(tmp_path / "ip.faiss", num_probes=1, count=200)
    with pytest.raises(InputError, match="an index of 32 dimensions, found 8"):
        index.fill(
            index.train(sample[:, :8], factory="Flat", training=QUICK),
            [(np.arange(32, dtype=np.uint64), sample)],
        )
    with pytest.raises(InputError, match="at least one vector"):
        index.fit(StoredVectors([], schema.EMBEDDINGS), factory="Flat", training=QUICK)
