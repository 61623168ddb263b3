"""A world of few images whose every check can be counted by hand."""

import itertools
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod import schema
from sauropod.errors import InputError
from sauropod.evaluate import truth
from sauropod.evaluate.truth import Check


def _truth(*rows: dict[str, Any]) -> pl.DataFrame:
    blank = {"role": "pool", "kind": "original", "parent": "", "label": "", "status": "ok"}
    filled = [{**blank, "num_faces": len(row.get("faces", [])), "faces": [], **row} for row in rows]
    return pl.DataFrame(filled, schema=dict(schema.TRUTH.columns))


def _images(urls: dict[int, tuple[str, str]]) -> pl.DataFrame:
    rows = [{"image_id": i, "url": url, "status": status} for i, (url, status) in urls.items()]
    return pl.DataFrame(rows, schema=dict(schema.IMAGES.columns))


FACE = {"left": 10.0, "top": 10.0, "width": 20.0, "height": 20.0}
WORLD = _truth(
    {"name": "u/cat", "label": "cat"},
    {"name": "u/cat2", "label": "cat", "kind": "near_duplicate", "parent": "u/cat"},
    {"name": "u/cat3", "label": "cat", "kind": "exact_copy", "parent": "u/cat2"},
    {"name": "u/dog", "label": "dog", "faces": [FACE, {**FACE, "left": 60.0}]},
    {"name": "u/bench", "label": "dog", "kind": "benchmark_copy", "parent": "b/dog"},
    {"name": "u/bad", "label": "", "kind": "unsafe"},
    {"name": "u/dead", "kind": "trap", "status": "http_error"},
    {"name": "u/rude", "kind": "trap", "status": "robots"},
    {"name": "b/dog", "label": "dog", "role": "benchmark"},
    {"name": "c/dog", "label": "dog", "role": "curated"},
)
POOL = truth.planted(WORLD)
INGESTED = {
    1: ("u/cat", "ok"),
    2: ("u/cat2", "ok"),
    3: ("u/cat3", "ok"),
    4: ("u/dog", "ok"),
    5: ("u/bench", "ok"),
    6: ("u/bad", "ok"),
    7: ("u/dead", "http_error"),
}
AFTER = _images({**INGESTED, 6: ("u/bad", "unsafe")})
KNOWN = truth.recognise(AFTER, POOL)
SCREENED = pl.DataFrame(
    [
        {"image_id": i, "faces": [{**FACE, "score": 0.9}] if i == 4 else [], "blurred": i == 4}
        for i in range(1, 7)
    ],
    schema=dict(schema.SCREENED.columns),
)


def _values(checks: list[Check]) -> dict[tuple[str, str], tuple[float, int]]:
    return {(c.stage, c.metric): (c.value, c.num_planted) for c in checks}


def test_roots_follow_chains_of_copies() -> None:
    roots = dict(POOL.select("name", "root").rows())
    assert roots["u/cat3"] == roots["u/cat2"] == roots["u/cat"] == "u/cat"
    assert roots["u/bench"] == "b/dog"
    assert POOL.height == 8


def test_a_cycle_of_parents_ends() -> None:
    looped = _truth({"name": "a", "parent": "b"}, {"name": "b", "parent": "a"})
    assert truth.planted(looped).height == 2


def test_ingest_counts_wrong_and_missing_status() -> None:
    links = pl.DataFrame([{"url": "u/rude", "status": "robots"}], schema=dict(schema.LINKS.columns))
    images = _images(INGESTED)
    assert _values(truth.ingest_checks(images, links, POOL)) == {
        ("ingest", "status_unexpected"): (0, 8)
    }
    wrong = truth.unexpected(_images({**INGESTED, 7: ("u/dead", "timeout")}), links.head(0), POOL)
    assert wrong.rows() == [("u/dead", "http_error", "timeout"), ("u/rude", "robots", None)]


def test_screen_counts() -> None:
    checks = _values(truth.screen_checks(KNOWN, SCREENED, POOL, AFTER))
    assert checks == {
        ("screen", "unsafe_left"): (0, 1),
        ("screen", "safe_dropped"): (0, 5),
        ("screen", "faces_unblurred"): (1, 2),
    }
    lax = truth.recognise(_images(INGESTED), POOL)
    after = _images({**INGESTED, 4: ("u/dog", "unsafe")})
    checks = _values(truth.screen_checks(lax, SCREENED, POOL, after))
    assert checks["screen", "unsafe_left"] == (1, 1)
    assert checks["screen", "safe_dropped"][0] == 1


def test_faces_that_were_found_but_not_blurred_count() -> None:
    kept = SCREENED.with_columns(blurred=pl.lit(value=False))
    assert truth.unblurred(KNOWN, kept).rows() == [(4, 2, 2)]
    assert truth.unblurred(KNOWN, SCREENED.head(0)).rows() == [(4, 2, 2)]


def test_covered_by_hand() -> None:
    assert truth.covered(FACE, []) == 0.0
    assert truth.covered(FACE, [{**FACE, "left": 20.0}]) == pytest.approx(0.5)
    assert truth.covered(FACE, [{**FACE, "left": 40.0}]) == 0.0
    assert truth.covered(FACE, [{"left": 0.0, "top": 0.0, "width": 99.0, "height": 99.0}]) == 1.0


def test_duplicate_pairs_by_hand() -> None:
    duplicates = pl.DataFrame(
        {"image_id": [3], "duplicate_of": [2]}, schema=dict(schema.DUPLICATES.columns)
    )
    # The descriptor stage joins cat and cat2 rightly, and dog with bench wrongly.
    copies = pl.DataFrame(
        [
            {"image_id": i, "component": c, "kept": i == c, "reason": "unique"}
            for i, c in ((1, 1), (2, 1), (4, 4), (5, 4))
        ],
        schema=dict(schema.COPIES.columns),
    )
    checks = _values(truth.duplicate_checks(KNOWN, duplicates, copies))
    assert checks["hash", "pair_precision"] == (1.0, 1)
    assert checks["hash", "pair_recall"] == (pytest.approx(1 / 3), 3)
    assert checks["dedup", "pair_precision"] == (pytest.approx(3 / 4), 4)
    assert checks["dedup", "pair_recall"] == (1.0, 3)
    assert checks["dedup", "redundant_left"] == (0, 2)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12))
def test_pair_scores_agree_with_counting_pairs(groups: list[tuple[int, int]]) -> None:
    found, roots = [a for a, _ in groups], [str(b) for _, b in groups]
    pairs = list(itertools.combinations(groups, 2))
    made = [a[0] == b[0] for a, b in pairs]
    wanted = [a[1] == b[1] for a, b in pairs]
    both = sum(m and w for m, w in zip(made, wanted, strict=True))
    precision, recall, num_made, num_wanted = truth.pair_scores(found, roots)
    assert (num_made, num_wanted) == (sum(made), sum(wanted))
    assert precision == pytest.approx(both / sum(made) if any(made) else 1.0)
    assert recall == pytest.approx(both / sum(wanted) if any(wanted) else 1.0)


def _manifest(*ids: int) -> pl.DataFrame:
    return pl.DataFrame([{"image_id": i} for i in ids], schema=dict(schema.MANIFEST.columns))


def test_manifest_counts_images_once() -> None:
    checks = _values(truth.manifest_checks(KNOWN, SCREENED, _manifest(1, 4, 5, 5), WORLD))
    assert checks == {
        ("manifest", "unsafe_left"): (0, 1),
        ("manifest", "faces_unblurred"): (1, 2),
        ("manifest", "benchmark_copies_left"): (1, 1),
        ("manifest", "curated_copies_left"): (0, 0),
    }
    clean = _values(truth.manifest_checks(KNOWN, SCREENED, _manifest(1), WORLD))
    assert clean["manifest", "benchmark_copies_left"] == (0, 1)


def test_class_histogram_by_hand() -> None:
    checks = _values(truth.class_checks(KNOWN, _manifest(1, 4), WORLD))
    assert checks["pool", "class_share:cat"] == (pytest.approx(0.6), 3)
    assert checks["pool", "curated_share"] == (pytest.approx(0.4), 5)
    entropy = -(0.6 * math.log2(0.6) + 0.4 * math.log2(0.4))
    assert checks["pool", "class_entropy"] == (pytest.approx(entropy), 5)
    assert checks["manifest", "class_entropy"] == (pytest.approx(1.0), 2)
    assert checks["manifest", "effective_classes"] == (pytest.approx(2.0), 2)


def test_an_empty_manifest_has_no_classes() -> None:
    checks = _values(truth.class_checks(KNOWN, _manifest(), WORLD))
    assert checks["manifest", "effective_classes"] == (0.0, 0)


def test_truth_of_another_world_is_named() -> None:
    with pytest.raises(InputError, match="none of 1 images"):
        truth.recognise(_images({1: ("elsewhere", "ok")}), POOL)


def test_rows_are_metrics() -> None:
    frame = truth.metrics_frame([Check("screen", "unsafe_left", 0, 3)], commit="c")
    assert frame.row(0) == ("screen", "truth", "unsafe_left", 0.0, 3, 0.0, "c")
    assert frame.schema == pl.Schema(schema.METRICS.columns)


def test_what_is_blurred_is_larger_than_the_box() -> None:
    box = {"left": 10.0, "top": 20.0, "width": 30.0, "height": 40.0, "score": 0.5}
    screened = SCREENED.head(1).with_columns(
        faces=pl.Series([[box]], dtype=SCREENED.schema["faces"])
    )
    grown = truth.blurred_regions(screened, grow=0.1)["faces"].to_list()
    assert grown == [[{"left": 6.0, "top": 16.0, "width": 38.0, "height": 48.0, "score": 0.5}]]
    assert truth.blurred_regions(SCREENED, grow=0.0).equals(SCREENED)
