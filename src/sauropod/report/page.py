"""One self-contained HTML page out of a run's tables: sections appear when their data does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sauropod.evaluate.truth import CHECKS
from sauropod.progress import duration
from sauropod.report import galleries, scores
from sauropod.report.curves import Run
from sauropod.report.funnel import Step, by_group
from sauropod.report.provenance import Made, Timing
from sauropod.report.thumbnails import Thumbnails

MAX_PROVENANCE = 400


@dataclass(frozen=True)
class Tables:
    """What a run left behind; anything may be None or empty."""

    title: str
    commit: str
    pool_sources: tuple[str, ...] = ()
    summary: pl.DataFrame | None = None
    images: pl.DataFrame | None = None
    ingested: pl.DataFrame | None = None
    screened: pl.DataFrame | None = None
    duplicates: pl.DataFrame | None = None
    copies: pl.DataFrame | None = None
    neighbours: pl.DataFrame | None = None
    manifest: pl.DataFrame | None = None
    metrics: pl.DataFrame | None = None
    plates: Mapping[str, list[galleries.Picture]] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    provenance: tuple[Made, ...] = ()
    timings: tuple[Timing, ...] = ()
    dag: Markup | None = None


@dataclass(frozen=True)
class Tile:
    """A key figure at the top of the page."""

    value: str
    words: str
    target: str


@dataclass(frozen=True)
class Composition:
    """The manifest: rows and distinct images, and rows by origin with their share (0..1)."""

    rows: int
    distinct: int
    parts: tuple[tuple[str, int, float], ...]


@dataclass(frozen=True)
class Check:
    """A truth check in words."""

    stage: str
    words: str
    value: str
    planted: int
    verdict: str


@dataclass(frozen=True)
class Pictures:
    """Everything that is shown as thumbnails."""

    unsafe: galleries.Unsafe | None = None
    faces: list[galleries.Picture] = field(default_factory=list)
    hashes: list[galleries.Group] = field(default_factory=list)
    copies: list[galleries.Group] = field(default_factory=list)
    overlaps: list[galleries.Group] = field(default_factory=list)
    retrieval: dict[str, list[galleries.Group]] = field(default_factory=dict)
    clusters: list[galleries.Group] = field(default_factory=list)


def composition(manifest: pl.DataFrame) -> Composition:
    """Count the manifest's rows by source and dataset."""
    name = pl.concat_str(
        pl.col("source").cast(pl.String),
        pl.col("query_dataset"),
        separator=" · ",
        ignore_nulls=True,
    )
    counts = manifest.group_by(name=name).len().sort("len", "name", descending=[True, False])
    rows = manifest.height
    parts = tuple((word, count, count / rows) for word, count in counts.rows())
    return Composition(rows, manifest["image_id"].n_unique(), parts)


def pictures(tables: Tables) -> Pictures:
    """Choose and decode all thumbnails."""
    if tables.images is None:
        return Pictures()
    thumbnails = Thumbnails.of(tables.images)
    found: dict[str, Any] = {}
    if tables.screened is not None:
        before = Thumbnails.of(tables.ingested) if tables.ingested is not None else Thumbnails({})
        found["unsafe"] = galleries.unsafe(tables.screened, tables.images, before)
        found["faces"] = galleries.blurred_faces(tables.screened, thumbnails)
    if tables.duplicates is not None:
        found["hashes"] = galleries.hash_groups(tables.duplicates, thumbnails)
    if tables.copies is not None:
        found["copies"] = galleries.components(tables.copies, thumbnails, overlap=False)
        found["overlaps"] = galleries.components(tables.copies, thumbnails, overlap=True)
    if tables.neighbours is not None:
        found["retrieval"] = galleries.retrieval(tables.neighbours, thumbnails)
        found["clusters"] = galleries.clusters(tables.neighbours, thumbnails)
    return Pictures(**found)


def truth_checks(metrics: pl.DataFrame) -> list[Check]:
    """Spell the truth checks, with a verdict where a value was promised."""
    found = []
    for stage, metric, value, planted in scores.truth_rows(metrics):
        words, wanted = CHECKS.get(metric, (metric, None))
        whole = float(value).is_integer() and "precision" not in metric and "recall" not in metric
        verdict = "" if wanted is None else ("holds" if value == wanted else "does not hold")
        text = f"{value:,.0f}" if whole else f"{value:.3f}"
        found.append(Check(stage, words, text, planted, verdict))
    return found


def tiles(
    funnel: Mapping[str, list[Step]],
    made_of: Composition | None,
    table: scores.ScoreTable | None,
    verdicts: list[str],
) -> list[Tile]:
    """Key figures: images asked for, training set, best k-NN, claims that hold."""
    found = []
    if pool := funnel.get("pool"):
        first = next((step for step in pool if step.stage == "ingest"), pool[0])
        found.append(Tile(f"{first.rows_in:,}", "images asked for", "funnel"))
        found.append(Tile(f"{first.kept:,}", "downloaded and valid", "funnel"))
    if made_of:
        found.append(Tile(f"{made_of.distinct:,}", "images in the training set", "manifest"))
    if table and table.models:
        best = max((c.share for _, row in table.models for c in row if c), default=0.0)
        found.append(Tile(f"{100 * best:.1f} %", "best top-1 accuracy", "scores"))
    if verdicts:
        held, noise = verdicts.count("holds"), verdicts.count("holds within noise")
        words = "claims and checks hold" + (f", {noise} more within noise" if noise else "")
        found.append(Tile(f"{held} / {len(verdicts)}", words, "claims"))
    return found


def context(tables: Tables) -> dict[str, Any]:
    """Everything the template needs."""
    metrics = tables.metrics
    funnel = {}
    if tables.summary is not None:
        funnel = by_group(tables.summary, pool=tables.pool_sources)
    made_of = None
    if tables.manifest is not None and tables.manifest.height:
        made_of = composition(tables.manifest)
    table = scores.score_table(metrics) if metrics is not None else None
    claims = scores.claims(metrics) if metrics is not None else []
    shown = scores.shown_metrics([claim.metric for claim in claims])
    claims = [claim for claim in claims if claim.metric in shown]
    checks = truth_checks(metrics) if metrics is not None else []
    verdicts = [claim.verdict for claim in claims] + [c.verdict for c in checks if c.verdict]
    shares = scores.class_shares(metrics) if metrics is not None else []
    return {
        "tables": tables,
        "funnel": funnel,
        "made_of": made_of,
        "pictures": pictures(tables),
        "table": table,
        "claims": claims,
        "checks": checks,
        "shares": shares,
        "widest": max((max(before, after) for _, before, after in shares), default=1.0),
        "tiles": tiles(funnel, made_of, table, verdicts),
        "metric_rows": scores.measured(metrics).rows(named=True) if metrics is not None else [],
        "provenance": tables.provenance[:MAX_PROVENANCE],
        "provenance_left": max(0, len(tables.provenance) - MAX_PROVENANCE),
    }


def render(tables: Tables) -> str:
    """Render the page: HTML with every style, script and image inside it."""
    environment = Environment(
        loader=PackageLoader("sauropod.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["label"] = scores.label
    environment.filters["duration"] = duration
    environment.filters["words"] = lambda text: str(text).replace("_", " ")
    environment.filters["thousands"] = lambda number: f"{number:,.0f}"
    return environment.get_template("report.html.jinja").render(context(tables))
