"""Embeddings of the pool to clusters, and the clusters of the pool, both in chunks.

Shapes: n images of a chunk, d width, K clusters.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from sauropod import schema, streaming
from sauropod.errors import InputError
from sauropod.progress import track
from sauropod.retrieve import kept, kmeans, vector_file
from sauropod.retrieve.draw import Reservoir, content_key, draw_keys
from sauropod.retrieve.vectors import is_unit
from sauropod.schema import CLUSTERS

CHUNK_ROWS = 65_536
"""Embeddings of the pool looked at together."""
WAITING_ROWS = 4_000_000
"""Rows of a draw that wait before they are sorted out; beyond a quarter of what is wanted."""


def embeddings(
    path: Path, *, copies: Path | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Read a file of EMBEDDINGS in chunks, in its order; with COPIES, of kept images only.

    Yields:
        Ids (n,) uint64 and float16 vectors (n, d) of length 1, and how many others there were:
        NaN, infinite, zero or not normalised.
    """
    wanted = np.empty(0, np.uint64)
    if copies is not None:
        every = schema.read(path, schema.EMBEDDINGS, ["image_id"])["image_id"].to_numpy()
        wanted = every[kept.rows_of(path, every, copies=copies)]
    for chunk in streaming.chunks(path, schema.EMBEDDINGS, rows=CHUNK_ROWS):
        inside = np.isin(chunk["image_id"].to_numpy(), wanted)
        frame = chunk if copies is None else chunk.filter(pl.Series(inside))
        vectors = schema.vectors(frame, "embedding")
        good = is_unit(vectors)
        yield frame["image_id"].to_numpy()[good], vectors[good], int((~good).sum())


def draw_sample(
    paths: Sequence[Path],
    out: Path,
    *,
    size: int,
    seed: int,
    metadata: dict[str, str],
    copies: Path | None = None,
) -> tuple[int, int]:
    """Write a seeded sample of the pool's embeddings for k-means to a file of vectors.

    With COPIES only of kept images. Memory is 36 bytes per vector of the sample and a row group;
    scratch beside `out` is 9/8 of it.

    Returns:
        Good embeddings of the pool, and bad ones.

    Raises:
        InputError: no good embedding at all, or embeddings of several widths.
    """
    scratch = out.with_suffix(".scratch")
    tables = (schema.scan(path, schema.EMBEDDINGS) for path in paths)
    every = sum(table.select(pl.len()).collect().item() for table in tables)
    sample = Reservoir(scratch, size=size, at_most=every, seed=seed, purpose="cluster")
    widths: dict[int, Path] = {}
    num_good = num_bad = 0
    try:
        for path in track(paths, total=len(paths), label="sample", unit="shards"):
            for _, vectors, bad in embeddings(path, copies=copies):
                num_good, num_bad = num_good + len(vectors), num_bad + bad
                if len(vectors):
                    widths.setdefault(vectors.shape[1], path)
                    _one_width(widths)
                    sample.add(vectors)
        if not num_good:
            found = (
                f"none in {len(paths)} files, and {num_bad} that are NaN, zero or of other length"
            )
            fix = "embed the pool again, or look at what dropped its images"
            where = "--embeddings"
            raise InputError(where, expected="embeddings of length 1", found=found, fix=fix)
        sample.write(vector_file.create(out, sample.shape(), metadata=metadata))
    finally:
        scratch.unlink(missing_ok=True)
    return num_good, num_bad


def _one_width(widths: dict[int, Path]) -> None:
    if len(widths) > 1:
        (first, _), (other, path) = widths.items()
        fix = "compute all shards with the same weights"
        expected = f"vectors of {first} dimensions"
        raise InputError(path, expected=expected, found=str(other), fix=fix)


def pairs(embeddings: Sequence[Path], images: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Files of EMBEDDINGS with the IMAGES of the same shards.

    Raises:
        InputError: not as many of one as of the other.
    """
    if len(embeddings) != len(images):
        where, expected = "--images", f"{len(embeddings)} files, one for each of --embeddings"
        fix = "name the files of the same shards, in the same order"
        raise InputError(where, expected=expected, found=str(len(images)), fix=fix)
    return list(zip(embeddings, images, strict=True))


def assigned(
    paths: tuple[Path, Path], centroids: np.ndarray, *, origin: Path
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Assign a shard's embeddings to the nearest centroids.

    Args:
        paths: EMBEDDINGS and IMAGES of the shard.
        centroids: (K, d) float32.
        origin: Their file, for messages.

    Returns:
        CLUSTERS in the order of the embeddings (28 bytes a row), and rows dropped by reason.

    Raises:
        InputError: centroids of another width, an image twice, or one that IMAGES lacks.
    """
    stored, places = paths
    images = schema.read(places, schema.IMAGES, ["image_id", "sha256", "status"])
    known = images.filter(pl.col("status") == "ok").select("image_id", "sha256")
    frames, num_bad = [pl.DataFrame(schema=dict(CLUSTERS.columns))], 0
    for ids, vectors, bad in embeddings(stored):
        num_bad += bad
        if len(ids) and vectors.shape[1] != centroids.shape[1]:
            expected, found = f"{vectors.shape[1]} dimensions", str(centroids.shape[1])
            fix = "fit the centroids again on embeddings of the same backbone"
            raise InputError(origin, expected=expected, found=found, fix=fix)
        labels, distances = kmeans.assign(vectors, centroids)
        rows = pl.DataFrame({"image_id": ids, "cluster": labels, "distance": distances})
        rows = rows.join(known, on="image_id", how="left", maintain_order="left")
        if rows["sha256"].null_count():
            found = f"{rows['sha256'].null_count()} others"
            fix = "give EMBEDDINGS and IMAGES of one shard of one run"
            raise InputError(stored, expected=f"images of {places}", found=found, fix=fix)
        rows = rows.with_columns(content_key=pl.Series(content_key(rows["sha256"])))
        frames.append(rows.select(pl.col(c).cast(k) for c, k in CLUSTERS.columns.items()))
    table = pl.concat(frames)
    _once(table["image_id"], stored)
    return table, {"bad_embedding": num_bad}


def _once(ids: pl.Series, where: Path | str) -> None:
    if twice := len(ids) - ids.n_unique():
        fix = "name every shard once, all from the same run"
        raise InputError(where, expected="every image once", found=f"{twice} again", fix=fix)


@dataclass(frozen=True)
class ClusterFiles:
    """Files of CLUSTERS; iterating reads a million rows at a time, with COPIES the kept ones."""

    paths: Sequence[Path]
    num_clusters: int
    copies: Path | None = None

    def __iter__(self) -> Iterator[pl.DataFrame]:
        """Yield the rows of every file in chunks.

        Raises:
            InputError: a file that is missing or damaged, or a cluster that no centroid has.
        """
        for path in self.paths:
            for rows in streaming.chunks(path, CLUSTERS):
                if rows.height and int(rows["cluster"].max()) >= self.num_clusters:  # type: ignore[arg-type]
                    expected = f"clusters below {self.num_clusters}, the number of centroids"
                    fix = "assign the shard again to these centroids"
                    found = str(rows["cluster"].max())
                    raise InputError(path, expected=expected, found=found, fix=fix)
                yield rows if self.copies is None else self._kept(rows, self.copies)

    @staticmethod
    def _kept(rows: pl.DataFrame, copies: Path) -> pl.DataFrame:
        ids = rows["image_id"].to_numpy()
        return rows.filter(pl.Series(np.isin(ids, kept.ids_of(copies, ids))))

    def sizes(self) -> np.ndarray:
        """Images of every cluster, (K,) int64."""
        sizes = np.zeros(self.num_clusters, np.int64)
        for rows in self:
            sizes += np.bincount(rows["cluster"].to_numpy(), minlength=self.num_clusters)
        return sizes


def draw(clusters: ClusterFiles, wanted: np.ndarray, *, seed: int, purpose: str) -> pl.DataFrame:
    """Draw so many images of every cluster: those with the smallest keys.

    Neither sharding nor the order of the files changes the draw, but for images of equal bytes.
    Memory is 32 bytes per image wanted, three times that where they are sorted.

    Args:
        clusters: The pool.
        wanted: (K,) images to draw of each cluster; one that has fewer gives all.
        seed: The draw.
        purpose: Separates draws of one seed.

    Returns:
        image_id, cluster, content_key and rank (1 is the first drawn), by cluster and rank.

    Raises:
        InputError: an image twice.
    """
    held = pl.DataFrame(schema={**_HELD, "rank": pl.UInt32})
    limits = np.full(len(wanted), 2**64 - 1, np.uint64)
    limits[wanted == 0] = 0
    room = max(WAITING_ROWS, int(wanted.sum()) // 4)
    parts: list[pl.DataFrame] = []
    waiting = 0
    for rows in clusters:
        key = draw_keys(rows["content_key"].to_numpy(), seed=seed, purpose=purpose)
        hopeful = pl.Series(key <= limits[rows["cluster"].to_numpy()])
        parts.append(rows.with_columns(key=pl.Series(key)).select(*_HELD).filter(hopeful))
        waiting += parts[-1].height
        if waiting > room:
            held, parts, waiting = _first(held, parts, wanted), [], 0
            full = held.filter(pl.col("rank") == pl.Series(wanted).gather(held["cluster"]))
            limits[full["cluster"].to_numpy()] = full["key"].to_numpy()
    held = _first(held, parts, wanted)
    _once(held["image_id"], "--clusters")
    return held.drop("key")


_HELD = {
    "image_id": pl.UInt64,
    "cluster": pl.UInt32,
    "content_key": pl.UInt64,
    "key": pl.UInt64,
}


def _first(held: pl.DataFrame, parts: list[pl.DataFrame], wanted: np.ndarray) -> pl.DataFrame:
    """Join, sort, rank within clusters, and keep what is wanted."""
    rows = pl.concat([held.drop("rank"), *parts]).sort("cluster", "key", "image_id")
    sizes = np.bincount(rows["cluster"].to_numpy(), minlength=len(wanted))
    starts = np.cumsum(sizes) - sizes
    rank = np.arange(rows.height) - np.repeat(starts, sizes)
    kept = rank < np.repeat(wanted, sizes)
    ranked = rows.with_columns(rank=pl.Series(rank + 1, dtype=pl.UInt32))
    return ranked.filter(pl.Series(kept))
