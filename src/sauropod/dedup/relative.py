"""The verdict on every image of the pool: kept, a copy, or an overlap with a benchmark.

Two passes over the edges (DINOv2 section 3 and appendix A). Self: components of edges above 0.6
keep one representative each. Relative: among the representatives, what hangs together with a
reference image by edges above 0.45 is dropped, the whole component or the direct neighbours only.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from sauropod.dedup.components import Components, size_histogram
from sauropod.errors import InputError
from sauropod.schema import COPIES, REASONS

log = logging.getLogger(__name__)

NEVER_TOO_LARGE = 100
"""A component of at most this many images is plausible however small the pool is."""

BETTER = ("area", "num_bytes", "sha256", "url", "image_id")
"""The total order that chooses a representative: larger, heavier, then the smallest of the rest."""
FALLING = (True, True, False, False, False)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Thresholds on exact cosine (strictly above), reading of overlap, and the guard."""

    copy_threshold: float
    overlap_threshold: float
    overlap: Literal["component", "direct"]
    max_component_share: float


def ranked(images: pl.DataFrame) -> pl.DataFrame:
    """Sort IMAGES rows best first by the total order that chooses representatives."""
    area = pl.col("width").cast(pl.UInt64) * pl.col("height")
    ordered = images.with_columns(area=area).sort(BETTER, descending=FALLING, nulls_last=True)
    return ordered.drop("area")


def verdicts(
    images: pl.DataFrame,
    duplicates: pl.DataFrame,
    edges: Iterable[pl.DataFrame],
    references: np.ndarray,
    rules: Rules,
) -> pl.DataFrame:
    """Decide on every image of the pool.

    Args:
        images: IMAGES rows of the pool with status ok.
        duplicates: DUPLICATES rows; both ids are in `images`.
        edges: EDGES in chunks; iterated twice. Edges to ids that are in neither the pool nor the
            references are passed over.
        references: Ids (uint64) the pool is decontaminated against.
        rules: Thresholds, reading and guard.

    Returns:
        COPIES, one row per image, by id. Evidence of a copy is its nearest neighbour above the
        copy threshold (or the image of equal hash, similarity null); of an overlap its nearest
        reference, or when only the component touches one, the smallest reference of the
        component, similarity null.

    Raises:
        InputError: a component holds more than `max_component_share` of the pool, or the
            duplicates are of another pool.
    """
    hashed = duplicates["image_id"].to_numpy()
    ids = images["image_id"].to_numpy()
    if not np.isin([*hashed, *duplicates["duplicate_of"]], ids).all():
        fix = "give the duplicates and the images of the same run"
        where, expected = "--duplicates", "usable images of the pool"
        raise InputError(where, expected=expected, found="ids of other images", fix=fix)
    nodes = np.sort(ids[~np.isin(ids, hashed)])
    labels, evidence = _components(nodes, edges, rules.copy_threshold, rules)
    best = ranked(images.filter(pl.col("image_id").is_in(nodes.tolist())))
    best_nodes = np.searchsorted(nodes, best["image_id"].to_numpy())
    _, first = np.unique(labels[best_nodes], return_index=True)
    representatives = np.sort(nodes[best_nodes[first]])
    overlaps = _overlaps(representatives, np.sort(references), edges, rules)
    frame = pl.DataFrame(
        {"image_id": nodes, "component": nodes[labels]},
        schema={"image_id": pl.UInt64, "component": pl.UInt64},
    )
    frame = frame.join(evidence, on="image_id", how="left")
    frame = frame.with_columns(
        chosen=pl.Series(np.isin(nodes, representatives)),
        shared=pl.len().over("component") > 1,
        hashed=pl.Series(np.isin(nodes, duplicates["duplicate_of"].to_numpy())),
    )
    return _rows(frame, overlaps, duplicates)


def funnel(copies: pl.DataFrame, duplicates: pl.DataFrame) -> tuple[int, dict[str, int]]:
    """Count COPIES rows: kept, and dropped by reason with hash duplicates on their own."""
    dropped = copies.filter(~pl.col("kept"))
    counts = dict(dropped["reason"].cast(pl.String).value_counts().iter_rows())
    hashed = duplicates.height
    reasons = {
        "hash_duplicate": hashed,
        "copy": counts.get("copy", 0) - hashed,
        "eval_overlap": counts.get("eval_overlap", 0),
    }
    return copies.height - dropped.height, reasons


def _rows(frame: pl.DataFrame, overlaps: pl.DataFrame, duplicates: pl.DataFrame) -> pl.DataFrame:
    """Spell out kept, reason and evidence; add the hash duplicates."""
    nothing = pl.lit(None)
    alone = ~pl.col("shared") & ~pl.col("hashed")
    copy = ~pl.col("chosen")
    frame = frame.join(overlaps, on="image_id", how="left").with_columns(
        reason=pl.when(copy)
        .then(pl.lit("copy"))
        .when(pl.col("overlap"))
        .then(pl.lit("eval_overlap"))
        .when(alone)
        .then(pl.lit("unique"))
        .otherwise(pl.lit("representative")),
        evidence_id=pl.when(copy).then("evidence_id").otherwise(pl.col("reference_id")),
        similarity=pl.when(copy).then("similarity").otherwise(pl.col("reference_similarity")),
    )
    owners = frame.select(duplicate_of="image_id", component="component")
    hashed = duplicates.join(owners, on="duplicate_of", how="left").select(
        "image_id",
        "component",
        evidence_id="duplicate_of",
        similarity=nothing,
        reason=pl.lit("copy"),
    )
    columns = ["image_id", "component", "reason", "evidence_id", "similarity"]
    both = pl.concat([frame.select(columns), hashed.select(columns)], how="vertical_relaxed")
    return (
        both.select(
            "image_id",
            "component",
            kept=pl.col("reason").is_in(["unique", "representative"]),
            reason=pl.col("reason").cast(pl.Enum(REASONS)),
            evidence_id=pl.col("evidence_id").cast(pl.UInt64),
            similarity=pl.col("similarity").cast(pl.Float32),
        )
        .select(list(COPIES.columns))
        .sort("image_id")
    )


def _components(
    nodes: np.ndarray, edges: Iterable[pl.DataFrame], threshold: float, rules: Rules
) -> tuple[np.ndarray, pl.DataFrame]:
    """Components of the pool and each image's nearest neighbour above the threshold."""
    forest = Components(len(nodes))
    nearest = _no_evidence()
    for chunk in edges:
        near = _between(chunk.filter(pl.col("similarity") > threshold), nodes, nodes)
        forest.add(_positions(nodes, near["image_id"]), _positions(nodes, near["neighbour_id"]))
        nearest = _nearest(nearest, near)
    labels = forest.labels()
    _guard(labels, len(nodes), threshold, rules)
    return labels, nearest.rename({"neighbour_id": "evidence_id"})


def _overlaps(
    pool: np.ndarray, references: np.ndarray, edges: Iterable[pl.DataFrame], rules: Rules
) -> pl.DataFrame:
    """Images of `pool` that overlap a reference: image_id, overlap, reference_id and similarity."""
    nodes = np.union1d(pool, references)
    forest = Components(len(nodes))
    nearest = _no_evidence()
    for chunk in edges:
        near = chunk.filter(pl.col("similarity") > rules.overlap_threshold)
        inside, across = _between(near, pool, pool), _between(near, pool, references)
        nearest = _nearest(nearest, across)
        for part in (inside, across):
            forest.add(_positions(nodes, part["image_id"]), _positions(nodes, part["neighbour_id"]))
    nearest = nearest.filter(pl.col("image_id").is_in(pool.tolist()))
    direct = nearest.select(
        "image_id",
        overlap=pl.lit(True),
        reference_id="neighbour_id",
        reference_similarity="similarity",
    )
    if rules.overlap == "direct":
        return direct
    labels = forest.labels()
    at = np.searchsorted(nodes, pool)
    _guard(labels[at], len(pool), rules.overlap_threshold, rules)
    # References are sorted, so the first of a component is its smallest.
    touched, first = np.unique(labels[np.searchsorted(nodes, references)], return_index=True)
    hit = np.isin(labels[at], touched)
    reference = references[first[np.searchsorted(touched, labels[at][hit])]]
    whole = pl.DataFrame(
        {"image_id": pool[hit], "component_reference": reference},
        schema={"image_id": pl.UInt64, "component_reference": pl.UInt64},
    )
    return whole.join(direct, on="image_id", how="left").select(
        "image_id",
        overlap=pl.lit(True),
        reference_id=pl.coalesce("reference_id", "component_reference"),
        reference_similarity="reference_similarity",
    )


def _no_evidence() -> pl.DataFrame:
    kinds = {"image_id": pl.UInt64, "neighbour_id": pl.UInt64, "similarity": pl.Float32}
    return pl.DataFrame(schema=kinds)


def _nearest(known: pl.DataFrame, edges: pl.DataFrame) -> pl.DataFrame:
    """Merge the nearest neighbour known of each image with new edges, read in both directions."""
    turned = edges.select(image_id="neighbour_id", neighbour_id="image_id", similarity="similarity")
    every = pl.concat([known, edges, turned])
    ordered = every.sort("image_id", "similarity", "neighbour_id", descending=[False, True, False])
    return ordered.unique("image_id", keep="first", maintain_order=True)


def _between(edges: pl.DataFrame, left: np.ndarray, right: np.ndarray) -> pl.DataFrame:
    """Edges with one end in each sorted id array, turned so that the end in `left` comes first."""
    a, b = edges["image_id"].to_numpy(), edges["neighbour_id"].to_numpy()
    straight = edges.filter(pl.Series(_in(left, a) & _in(right, b)))
    if left is right:
        return straight
    crossed = edges.filter(pl.Series(_in(right, a) & _in(left, b)))
    turned = crossed.select(
        image_id="neighbour_id", neighbour_id="image_id", similarity="similarity"
    )
    return pl.concat([straight, turned])


def _in(ordered: np.ndarray, values: np.ndarray) -> np.ndarray:
    if not len(ordered):
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[at] == values


def _positions(nodes: np.ndarray, ids: pl.Series) -> np.ndarray:
    return np.searchsorted(nodes, ids.to_numpy())


def _guard(labels: np.ndarray, pool: int, threshold: float, rules: Rules) -> None:
    """Stop before a threshold that is too low melts the pool into one component."""
    histogram = size_histogram(labels)
    log.info("components above %.2f, {size: how many}: %s", threshold, histogram)
    largest = max(histogram, default=0)
    if largest <= max(NEVER_TOO_LARGE, rules.max_component_share * pool):
        return
    where = f"dedup above {threshold}"
    raise InputError(
        where,
        expected=f"components of at most {rules.max_component_share:.0%} of {pool} images",
        found=f"one of {largest}; sizes {dict(list(histogram.items())[-8:])}",
        fix="raise the threshold, check the descriptors, or raise max_component_share",
    )
