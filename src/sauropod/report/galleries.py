"""Which pictures the report shows, chosen evenly and without randomness."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import polars as pl

from sauropod.report.thumbnails import Thumbnails

T = TypeVar("T")

QUERIES, NEIGHBOURS_SHOWN = 5, 8
GROUPS, MEMBERS = 9, 8
CLUSTERS_SHOWN, CLUSTER_MEMBERS = 6, 8
SCREENED_SHOWN = 24


@dataclass(frozen=True)
class Picture:
    """A thumbnail (None when its bytes are gone), what it is, a caption and whether it is kept."""

    src: str | None
    alt: str
    caption: str
    kept: bool = True


@dataclass(frozen=True)
class Group:
    """Pictures that belong together, with the first one apart: the query or the kept one."""

    title: str
    note: str
    first: Picture | None
    pictures: tuple[Picture, ...]


def evenly(items: Sequence[T], *, count: int) -> list[T]:
    """Pick at most `count` items, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    if count == 1:
        return [items[0]]
    return [items[round(i * (len(items) - 1) / (count - 1))] for i in range(count)]


def _similarity(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def retrieval(neighbours: pl.DataFrame, thumbnails: Thumbnails) -> dict[str, list[Group]]:
    """Per curated dataset: queries, each with its most similar images of the pool."""
    samples = neighbours.filter(pl.col("cluster").is_null() & pl.col("query_id").is_not_null())
    found: dict[str, list[Group]] = {}
    for dataset in sorted(samples["query_dataset"].unique().to_list()):
        rows = samples.filter(pl.col("query_dataset") == dataset)
        queries = [q for q in rows["query_id"].unique().sort().to_list() if q in thumbnails]
        for query in evenly(queries, count=QUERIES):
            near = rows.filter(pl.col("query_id") == query).sort("rank").head(NEIGHBOURS_SHOWN)
            pictures = tuple(
                Picture(
                    thumbnails.plain(image_id),
                    f"Retrieved image {place}, cosine {_similarity(similarity) or 'unknown'}",
                    _similarity(similarity),
                )
                for place, (image_id, similarity) in enumerate(
                    near.select("image_id", "similarity").rows(), start=1
                )
            )
            first = Picture(thumbnails.plain(query), f"Query from {dataset}", "query")
            found.setdefault(dataset, []).append(Group("", "", first, pictures))
    return found


def clusters(neighbours: pl.DataFrame, thumbnails: Thumbnails) -> list[Group]:
    """Clusters the retrieval drew from: some of the pool images taken from each."""
    rows = neighbours.filter(pl.col("cluster").is_not_null())
    keys = rows.select("query_dataset", "cluster").unique().sort("query_dataset", "cluster").rows()
    groups = []
    for dataset, cluster in evenly(keys, count=CLUSTERS_SHOWN):
        of = (pl.col("query_dataset") == dataset) & (pl.col("cluster") == cluster)
        members = rows.filter(of).select("image_id").unique().sort("image_id")["image_id"].to_list()
        pictures = tuple(
            Picture(thumbnails.plain(image_id), f"Member of cluster {cluster}", "")
            for image_id in evenly(members, count=CLUSTER_MEMBERS)
        )
        groups.append(Group(f"Cluster {cluster}", f"{len(members)} for {dataset}", None, pictures))
    return groups


def _component(
    rows: pl.DataFrame, thumbnails: Thumbnails, *, evidence: bool
) -> tuple[Picture | None, tuple[Picture, ...]]:
    members = rows.sort(pl.col("kept").not_(), "image_id").select(
        "image_id", "kept", "similarity", "evidence_id"
    )
    pictures = [
        Picture(
            thumbnails.plain(image_id),
            f"{'Kept' if kept else 'Dropped'} copy, cosine {_similarity(similarity) or 'unknown'}",
            "kept" if kept else _similarity(similarity),
            kept,
        )
        for image_id, kept, similarity, _ in members.head(MEMBERS).rows()
    ]
    if not evidence:
        return None, tuple(pictures)
    proofs = [i for i in members["evidence_id"].drop_nulls().to_list() if i in thumbnails]
    pool = set(members["image_id"].to_list())
    outside = [i for i in proofs if i not in pool]
    if not outside:
        return None, tuple(pictures)
    reference = thumbnails.plain(outside[0])
    return Picture(reference, "Image of a benchmark or curated set", "reference"), tuple(pictures)


def components(copies: pl.DataFrame, thumbnails: Thumbnails, *, overlap: bool) -> list[Group]:
    """Groups of copies side by side, the kept one first.

    Args:
        copies: COPIES.
        thumbnails: Where the images are.
        overlap: Show components dropped for overlap with a reference instead, with the reference
            image where its place is known.
    """
    reason = pl.col("reason") == "eval_overlap"
    wanted = reason if overlap else ~reason & (pl.col("reason") != "unique")
    rows = copies.filter(wanted)
    sizes = rows.group_by("component").len().sort("len", "component", descending=[True, False])
    groups = []
    for component, size in evenly(sizes.rows(), count=GROUPS):
        members = rows.filter(pl.col("component") == component)
        first, pictures = _component(members, thumbnails, evidence=overlap)
        note = f"{size} image{'s' if size > 1 else ''}"
        groups.append(Group("", note, first, pictures))
    return groups


def hash_groups(duplicates: pl.DataFrame, thumbnails: Thumbnails) -> list[Group]:
    """Groups of images with the same PCA hash, the kept one first."""
    groups = duplicates.group_by("duplicate_of").agg(pl.col("image_id").sort())
    groups = groups.sort(pl.col("image_id").list.len(), "duplicate_of", descending=[True, False])
    found = []
    for kept, dropped in evenly(groups.rows(), count=GROUPS):
        pictures = [Picture(thumbnails.plain(kept), "Kept image", "kept")]
        pictures += [
            Picture(
                thumbnails.plain(i), "Dropped image with the same hash", "same hash", kept=False
            )
            for i in dropped[: MEMBERS - 1]
        ]
        found.append(Group("", f"{len(dropped) + 1} images", None, tuple(pictures)))
    return found


def blurred_faces(screened: pl.DataFrame, thumbnails: Thumbnails) -> list[Picture]:
    """Images whose faces were blurred, with the detector's boxes."""
    rows = screened.filter(pl.col("blurred")).select("image_id", "faces").sort("image_id")
    pictures = []
    for image_id, faces in evenly(rows.rows(), count=SCREENED_SHOWN):
        boxes = [(f["left"], f["top"], f["width"], f["height"]) for f in faces]
        count = f"{len(boxes)} face{'s' if len(boxes) != 1 else ''}"
        pictures.append(Picture(thumbnails.boxed(image_id, boxes), f"Blurred: {count}", count))
    return pictures


@dataclass(frozen=True)
class Unsafe:
    """Images dropped as unsafe: how many, from which score on, and some whose bytes still exist."""

    count: int
    lowest: str
    pictures: tuple[Picture, ...]


def unsafe(screened: pl.DataFrame, images: pl.DataFrame, thumbnails: Thumbnails) -> Unsafe:
    """Images dropped as unsafe, pixelated.

    Args:
        screened: SCREENED.
        images: IMAGES as written by screen (status unsafe).
        thumbnails: Places before screening, as far as those shards still exist.
    """
    dropped = images.filter(pl.col("status") == "unsafe").select("image_id")
    rows = dropped.join(screened.select("image_id", "nsfw_score"), on="image_id", how="left")
    rows = rows.sort("nsfw_score", "image_id", descending=[True, False], nulls_last=True)
    there = [row for row in rows.rows() if row[0] in thumbnails]
    found = [
        Picture(
            thumbnails.hidden(image_id),
            "Dropped as unsafe, pixelated",
            f"score {_similarity(score)}",
            kept=False,
        )
        for image_id, score in evenly(there, count=SCREENED_SHOWN)
    ]
    lowest: float | None = rows["nsfw_score"].min()  # type: ignore[assignment]
    return Unsafe(rows.height, _similarity(lowest), tuple(p for p in found if p.src))
