import re
from html.parser import HTMLParser

import polars as pl

from sauropod import schema
from sauropod.evaluate.truth import CHECKS
from sauropod.report.page import Tables, composition, render, truth_checks
from sauropod.report.provenance import Made, Timing


class Balanced(HTMLParser):
    """Collects ids, link targets, images without alt text and tags left open."""

    VOID = frozenset({"meta", "link", "img", "br", "line", "path", "rect"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.without_alt = 0
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img" and not given.get("alt"):
            self.without_alt += 1
        self.ids += [given["id"] or ""] if "id" in given else []
        for name in ("href", "src"):
            value = given.get(name)
            if value and value.startswith("#"):
                self.targets.append(value[1:])
            elif value and not value.startswith("data:"):
                self.outside.append(value)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def _parsed(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    assert parser.open == []
    assert parser.outside == []
    assert parser.without_alt == 0
    assert len(parser.ids) == len(set(parser.ids))
    assert set(parser.targets) <= set(parser.ids)
    assert not re.search(r"url\(|@import|https?://", html)
    return parser


def _table(rows: list[dict], table: schema.Table) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(table.columns))


def test_a_run_without_data_is_a_page_without_sections() -> None:
    assert _parsed(render(Tables(title="t", commit="c"))).ids == []


def test_whole_page_is_self_contained(shard: pl.DataFrame) -> None:
    metric = {"num_samples": 100, "seconds": 1.0, "commit": "c"}
    metrics = [
        {"model": "main", "benchmark": "b", "metric": "knn10_top1", "value": 0.9},
        {"model": "random", "benchmark": "b", "metric": "knn10_top1", "value": 0.1},
        {"model": "main > random", "benchmark": "b", "metric": "claim:knn10_top1", "value": 0.8},
        {"model": "screen", "benchmark": "truth", "metric": "unsafe_left", "value": 2.0},
        {"model": "pool", "benchmark": "truth", "metric": "class_share:<cat>", "value": 1.0},
    ]
    tables = Tables(
        title="<run> & co",
        commit="c",
        pool_sources=("crawl",),
        summary=schema.summary("ingest", "crawl-00000", kept=1234, dropped={"http_error": 5}),
        images=shard,
        duplicates=_table([{"image_id": 1, "duplicate_of": 0}], schema.DUPLICATES),
        copies=_table(
            [
                {"image_id": i, "component": 2, "kept": i == 2, "reason": reason}
                for i, reason in ((2, "representative"), (3, "copy"))
            ],
            schema.COPIES,
        ),
        screened=_table([{"image_id": 4, "faces": [], "blurred": True}], schema.SCREENED),
        neighbours=_table(
            [{"image_id": 5, "query_dataset": "objects", "query_id": 6, "rank": 0}],
            schema.NEIGHBOURS,
        ),
        manifest=_table(
            [{"image_id": 5, "source": "sample", "query_dataset": "objects"}], schema.MANIFEST
        ),
        metrics=_table([{**metric, **row} for row in metrics], schema.METRICS),
        provenance=(Made("a.parquet", "screen", "c", "3", "x=1", ()),),
        timings=(Timing("embed", 1, 61.0, 61.0, 200.0),),
    )
    html = render(tables)
    found = _parsed(html)
    assert found.ids == [
        "funnel",
        "screen",
        "copies",
        "retrieval",
        "manifest",
        "classes",
        "scores",
        "claims",
        "workflow",
        "provenance",
    ]
    assert "&lt;run&gt; &amp; co" in html
    assert "&lt;cat&gt;" in html
    assert "1,234" in html
    assert "1m01s" in html
    assert html.count("does not hold") == 1
    assert "1 / 2" in html
    assert html == render(tables)


def test_composition_counts_rows_and_images() -> None:
    rows = [("sample", "a"), ("sample", "a"), ("as_is", "b"), ("uncurated", None)]
    manifest = _table(
        [{"image_id": 1, "source": s, "query_dataset": d} for s, d in rows], schema.MANIFEST
    )
    found = composition(manifest)
    assert (found.rows, found.distinct) == (4, 1)
    assert found.parts[0] == ("sample · a", 2, 0.5)
    assert {name for name, _, _ in found.parts[1:]} == {"as_is · b", "uncurated"}


def test_every_check_has_words_and_promises_are_judged() -> None:
    rows = [
        {"model": "s", "benchmark": "truth", "metric": metric, "value": 1.0, "num_samples": 2}
        for metric in CHECKS
    ]
    verdicts = {check.words: check.verdict for check in truth_checks(_table(rows, schema.METRICS))}
    assert len(verdicts) == len(CHECKS)
    for words, wanted in CHECKS.values():
        assert verdicts[words] == ("" if wanted is None else "does not hold")
