"""Truth checks of the demo world: what was planted, what each stage made of it.

Rows of METRICS with benchmark `truth`: model = the stage that is checked, metric = a key of CHECKS,
num_samples = how many things were planted. Pool images are recognised by their URL.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from sauropod.errors import InputError
from sauropod.schema import METRICS

BENCHMARK = "truth"
SHARE = "class_share:"
COVERED = 0.5  # a face is blurred when half of its area is

CHECKS: dict[str, tuple[str, float | None]] = {
    "status_unexpected": ("planted links whose status is not the expected one", 0.0),
    "unsafe_left": ("unsafe images left", 0.0),
    "safe_dropped": ("harmless images dropped as unsafe", None),
    "faces_unblurred": ("faces left unblurred", 0.0),
    "pair_precision": ("pairs put together that are planted copies (share)", None),
    "pair_recall": ("planted pairs of copies found (share)", None),
    "redundant_left": ("copies kept although the image is kept already", None),
    "benchmark_copies_left": ("planted copies of benchmark images left", 0.0),
    "curated_copies_left": ("planted copies of curated images left", 0.0),
    "class_entropy": ("entropy of the class histogram (bits)", None),
    "effective_classes": ("effective number of classes (2 to the entropy)", None),
    "curated_share": ("share of images of a class that curated sets hold", None),
}
"""Metric -> what it counts, and the value wanted (None: reported, no value is promised)."""


class Check(NamedTuple):
    """One checked fact."""

    stage: str
    metric: str
    value: float
    num_planted: int


def metrics_frame(checks: Iterable[Check], *, commit: str) -> pl.DataFrame:
    """Make METRICS rows of checks."""
    rows = [(c.stage, BENCHMARK, c.metric, c.value, c.num_planted, 0.0, commit) for c in checks]
    return pl.DataFrame(rows, schema=dict(METRICS.columns), orient="row")


def planted(truth: pl.DataFrame) -> pl.DataFrame:
    """The pool's rows of TRUTH, with `root`: the name of the image a chain of copies began with."""
    parents = dict(truth.filter(pl.col("parent") != "").select("name", "parent").rows())

    def root(name: str) -> str:
        seen = {name}
        while (parent := parents.get(name)) and parent not in seen:
            seen.add(parent)
            name = parent
        return name

    pool = truth.filter(pl.col("role") == "pool")
    roots = [root(name) for name in pool["name"].to_list()]
    return pool.with_columns(pl.Series("root", roots, dtype=pl.String))


def recognise(images: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """Join usable images of the pool with their truth: image_id and TRUTH's columns.

    Args:
        images: IMAGES of the pool.
        pool: Rows of `planted`.

    Raises:
        InputError: no image of the pool is in the truth.
    """
    usable = images.filter(pl.col("status") == "ok").select("image_id", "url")
    known = usable.join(pool.drop("status"), left_on="url", right_on="name")
    if usable.height and known.is_empty():
        flag = "--truth"
        raise InputError(
            flag,
            expected="the URLs of this pool",
            found=f"none of {usable.height} images",
            fix="give the truth of the world that was crawled",
        )
    return known


def ingest_checks(images: pl.DataFrame, links: pl.DataFrame, pool: pl.DataFrame) -> list[Check]:
    """Compare every planted URL's status with the expected one.

    Args:
        images: IMAGES as ingest wrote it.
        links: LINKS; its refusals count where ingest has no row.
        pool: Rows of `planted`.
    """
    return [
        Check(
            "ingest",
            "status_unexpected",
            float(unexpected(images, links, pool).height),
            pool.height,
        )
    ]


def unexpected(images: pl.DataFrame, links: pl.DataFrame, pool: pl.DataFrame) -> pl.DataFrame:
    """Planted URLs with another status than expected: name, expected, found (null: never seen)."""
    found = pl.concat(
        [frame.select("url", pl.col("status").cast(pl.String)) for frame in (images, links)]
    ).unique("url", keep="first", maintain_order=True)
    both = pool.select("name", expected=pl.col("status").cast(pl.String)).join(
        found.rename({"status": "found"}), left_on="name", right_on="url", how="left"
    )
    return both.filter(pl.col("expected").ne_missing(pl.col("found"))).sort("name")


def covered(face: Mapping[str, float], boxes: Sequence[Mapping[str, float]]) -> float:
    """Share (0..1) of a face box that the best of some boxes covers."""
    best = 0.0
    for box in boxes:
        width = min(face["left"] + face["width"], box["left"] + box["width"]) - max(
            face["left"], box["left"]
        )
        height = min(face["top"] + face["height"], box["top"] + box["height"]) - max(
            face["top"], box["top"]
        )
        best = max(best, max(width, 0.0) * max(height, 0.0))
    area = face["width"] * face["height"]
    return best / area if area > 0 else 1.0


def blurred_regions(screened: pl.DataFrame, *, grow: float) -> pl.DataFrame:
    """SCREENED with its boxes as large as what `screen` blurs: every side `grow` x the longer one.

    Args:
        screened: SCREENED, boxes as detected.
        grow: The knob `blur_grow` of screen.
    """
    box = pl.element().struct
    margin = grow * pl.max_horizontal(box["width"], box["height"])
    region = pl.struct(
        left=box["left"] - margin,
        top=box["top"] - margin,
        width=box["width"] + 2 * margin,
        height=box["height"] + 2 * margin,
        score=box["score"],
    )
    return screened.with_columns(pl.col("faces").list.eval(region))


def unblurred(known: pl.DataFrame, screened: pl.DataFrame) -> pl.DataFrame:
    """Count the faces left unblurred of every image: image_id, faces, unblurred."""
    both = known.filter(pl.col("num_faces") > 0).select("image_id", truth_faces="faces")
    both = both.join(screened.select("image_id", "faces", "blurred"), on="image_id", how="left")
    rows = []
    for image_id, truth_faces, boxes, blurred in both.rows():
        seen = boxes if blurred and boxes else []
        left = sum(covered(face, seen) < COVERED for face in truth_faces)
        rows.append((image_id, len(truth_faces), left))
    columns = {"image_id": pl.UInt64(), "faces": pl.Int64(), "unblurred": pl.Int64()}
    return pl.DataFrame(rows, schema=columns, orient="row")


def screen_checks(
    known: pl.DataFrame, screened: pl.DataFrame, pool: pl.DataFrame, images: pl.DataFrame
) -> list[Check]:
    """Unsafe images left, harmless ones dropped, faces left unblurred.

    Args:
        known: Usable images after screening (`recognise`).
        screened: SCREENED.
        pool: Rows of `planted`.
        images: IMAGES as screen wrote it.
    """
    is_unsafe = pl.col("kind") == "unsafe"
    dropped = images.filter(pl.col("status") == "unsafe").select("url")
    truth = dropped.join(pool.select("name", "kind"), left_on="url", right_on="name")
    harmless = truth.filter(~is_unsafe).height
    faces = unblurred(known, screened)
    return [
        Check(
            "screen",
            "unsafe_left",
            known.filter(is_unsafe).height,
            pool.filter(is_unsafe).height,
        ),
        Check("screen", "safe_dropped", harmless, known.filter(~is_unsafe).height + harmless),
        Check("screen", "faces_unblurred", *_faces(faces)),
    ]


def _pairs(counts: np.ndarray) -> int:
    return int((counts * (counts - 1) // 2).sum())


def pair_scores(found: Sequence[int], roots: Sequence[str]) -> tuple[float, float, int, int]:
    """Precision and recall over pairs of images that share a group.

    Args:
        found: Group each image was put into.
        roots: Group it belongs to in truth.

    Returns:
        Precision, recall (1 when there are no pairs), pairs found, pairs planted.
    """
    frame = pl.DataFrame({"found": found, "root": roots})
    together = _pairs(frame.group_by("found", "root").len()["len"].to_numpy().astype(np.int64))
    made = _pairs(frame.group_by("found").len()["len"].to_numpy().astype(np.int64))
    wanted = _pairs(frame.group_by("root").len()["len"].to_numpy().astype(np.int64))
    return together / made if made else 1.0, together / wanted if wanted else 1.0, made, wanted


def duplicate_checks(
    known: pl.DataFrame, duplicates: pl.DataFrame, copies: pl.DataFrame
) -> list[Check]:
    """Precision and recall of planted copies: by hash alone, and by hash and descriptors together.

    Args:
        known: Usable images after screening (`recognise`).
        duplicates: DUPLICATES of the hash stage.
        copies: COPIES.
    """
    ids, roots = known["image_id"].to_list(), known["root"].to_list()
    first = dict(duplicates.select("image_id", "duplicate_of").rows())
    component = dict(copies.select("image_id", "component").rows())
    by_hash = [first.get(i, i) for i in ids]
    by_both = [component.get(i, component.get(first.get(i, i), first.get(i, i))) for i in ids]
    checks = []
    for stage, found in (("hash", by_hash), ("dedup", by_both)):
        precision, recall, made, wanted = pair_scores(found, roots)
        checks.append(Check(stage, "pair_precision", precision, made))
        checks.append(Check(stage, "pair_recall", recall, wanted))
    kept = copies.filter("kept").select("image_id").join(known, on="image_id")
    redundant = kept.height - kept["root"].n_unique()
    checks.append(
        Check("dedup", "redundant_left", redundant, known.height - known["root"].n_unique())
    )
    return checks


def manifest_checks(
    known: pl.DataFrame, screened: pl.DataFrame, manifest: pl.DataFrame, truth: pl.DataFrame
) -> list[Check]:
    """What must not be in the training set: unsafe images, faces, copies of benchmark images.

    Args:
        known: Usable images after screening (`recognise`).
        screened: SCREENED.
        manifest: MANIFEST.
        truth: TRUTH, whole: it says which roots are benchmark or curated images.
    """
    inside = known.join(manifest.select("image_id").unique(), on="image_id", how="semi")
    role = dict(truth.select("name", pl.col("role").cast(pl.String)).rows())
    checks = [
        Check(
            "manifest",
            "unsafe_left",
            inside.filter(pl.col("kind") == "unsafe").height,
            truth.filter((pl.col("role") == "pool") & (pl.col("kind") == "unsafe")).height,
        ),
        Check("manifest", "faces_unblurred", *_faces(unblurred(inside, screened))),
    ]
    for metric, of in (("benchmark_copies_left", "benchmark"), ("curated_copies_left", "curated")):
        left, all_of = (
            sum(role.get(root) == of for root in frame["root"].to_list())
            for frame in (inside, known)
        )
        checks.append(Check("manifest", metric, left, all_of))
    return checks


def _faces(frame: pl.DataFrame) -> tuple[float, int]:
    return float(frame["unblurred"].sum()), int(frame["faces"].sum())


def class_checks(known: pl.DataFrame, manifest: pl.DataFrame, truth: pl.DataFrame) -> list[Check]:
    """Class histogram of the pool's images before and after curation, each image counted once.

    Entropy H = -sum p log2 p in bits; the effective number of classes is 2 to the H. An image
    without a class counts under its kind.
    """
    curated = set(truth.filter(pl.col("role") == "curated")["label"].unique().to_list()) - {""}
    named = known.with_columns(
        name=pl.when(pl.col("label") != "").then("label").otherwise(pl.col("kind").cast(pl.String))
    )
    inside = named.join(manifest.select("image_id").unique(), on="image_id", how="semi")
    checks = []
    for stage, frame in (("pool", named), ("manifest", inside)):
        counts = dict(frame.group_by("name").len().sort("name").rows())
        total = sum(counts.values())
        shares = {name: count / total for name, count in counts.items()}
        entropy = -sum(p * math.log2(p) for p in shares.values())
        inside_share = sum(p for name, p in shares.items() if name in curated)
        checks += [Check(stage, SHARE + name, p, counts[name]) for name, p in shares.items()]
        checks += [
            Check(stage, "class_entropy", entropy, total),
            Check(stage, "effective_classes", 2**entropy if total else 0.0, total),
            Check(stage, "curated_share", inside_share, total),
        ]
    return checks
