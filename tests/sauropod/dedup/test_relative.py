"""dedup.relative: chains A-B-C by hand, and against networkx on random graphs."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import networkx as nx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.dedup import relative
from sauropod.dedup.pool import Pool
from sauropod.dedup.representatives import Representatives
from sauropod.dedup.size_guard import SizeGuard
from sauropod.errors import InputError
from sauropod.schema import DUPLICATES, EDGES

RULES = relative.Rules(copy_threshold=0.6, overlap_threshold=0.45, overlap="component")
REFERENCE = 1000
NONE = pl.DataFrame(schema=dict(DUPLICATES.columns))


def _images(ids: list[int], **columns: list) -> pl.DataFrame:
    count = len(ids)
    rows = {
        "image_id": pl.Series(ids, dtype=pl.UInt64),
        "width": [10] * count,
        "height": [10] * count,
        "num_bytes": [100] * count,
        "sha256": [f"{i:064x}" for i in ids],
        "url": [f"u{i}" for i in ids],
    }
    return pl.DataFrame({**rows, **columns})


def _edges(*rows: tuple[int, int, float]) -> list[pl.DataFrame]:
    """One chunk per edge, so that streaming is tested too."""
    return [pl.DataFrame([row], schema=dict(EDGES.columns), orient="row") for row in rows]


class NoGuard(SizeGuard):
    """Looks at nothing."""

    def __init__(self) -> None:
        self.seen: list[dict[int, int]] = []

    def check(self, histogram: Mapping[int, int], *, threshold: float) -> None:
        self.seen.append(dict(histogram))


def _decide(
    images: pl.DataFrame,
    edges: list[pl.DataFrame],
    references: tuple[int, ...] = (),
    rules: relative.Rules = RULES,
    duplicates: pl.DataFrame = NONE,
    guard: SizeGuard | None = None,
) -> relative.Verdicts:
    with TemporaryDirectory() as folder:
        return relative.verdicts(
            Pool.of([images["image_id"].to_numpy()]),
            duplicates,
            edges,
            np.array(references, np.uint64),
            rules,
            images=Representatives(images=[images], scratch=Path(folder) / "members"),
            guard=guard or NoGuard(),
        )


def _verdicts(
    ids: list[int],
    edges: list[pl.DataFrame],
    references: tuple[int, ...] = (),
    rules: relative.Rules = RULES,
    duplicates: pl.DataFrame = NONE,
) -> pl.DataFrame:
    found = _decide(_images(ids), edges, references, rules, duplicates)
    return pl.concat(found.frames())


def _column(frame: pl.DataFrame, name: str) -> dict[int, object]:
    return dict(frame.select("image_id", name).iter_rows())


def test_a_chain_is_one_component() -> None:
    found = _verdicts([1, 2, 3, 4], _edges((1, 2, 0.7), (3, 2, 0.9), (3, 4, 0.6)))
    reasons = {1: "representative", 2: "copy", 3: "copy", 4: "unique"}
    assert _column(found, "reason") == reasons
    assert _column(found, "component") == {1: 1, 2: 1, 3: 1, 4: 4}
    assert _column(found, "evidence_id") == {1: None, 2: 3, 3: 2, 4: None}
    assert found["similarity"][1] == pytest.approx(0.9)


def test_threshold_is_strict_and_smaller_edges_do_not_copy() -> None:
    found = _verdicts([1, 2], _edges((1, 2, 0.6)))
    assert found["kept"].all()


@pytest.mark.parametrize(
    ("columns", "best"),
    [
        ({"width": [10, 20, 10]}, 2),
        ({"num_bytes": [100, 100, 101]}, 3),
        ({"width": [10, 20, 10], "num_bytes": [1, 1, 9]}, 2),
        ({"sha256": ["b", "c", "a"]}, 3),
        ({"sha256": ["a", "a", "a"], "url": ["z", "y", "z"]}, 2),
        ({"sha256": ["a", "a", "a"], "url": ["z", "z", "z"]}, 1),
    ],
)
def test_representative_by_the_total_order(columns: dict[str, list], best: int) -> None:
    images = _images([1, 2, 3], **columns)
    edges = _edges((1, 2, 0.7), (2, 3, 0.7))
    found = pl.concat(_decide(images, edges).frames())
    assert found.filter("kept")["image_id"].to_list() == [best]


def test_component_reading_drops_what_hangs_on_a_reference() -> None:
    edges = _edges((REFERENCE, 1, 0.5), (1, 2, 0.5), (2, 3, 0.46), (3, 4, 0.45))
    found = _verdicts([1, 2, 3, 4], edges, (REFERENCE,))
    reasons = {1: "eval_overlap", 2: "eval_overlap", 3: "eval_overlap", 4: "unique"}
    assert _column(found, "reason") == reasons
    assert _column(found, "evidence_id") == {1: REFERENCE, 2: REFERENCE, 3: REFERENCE, 4: None}
    assert found["similarity"].to_list() == [pytest.approx(0.5), None, None, None]


def test_direct_reading_drops_neighbours_only() -> None:
    edges = _edges((REFERENCE, 1, 0.5), (1, 2, 0.5))
    found = _verdicts([1, 2], edges, (REFERENCE,), replace(RULES, overlap="direct"))
    assert _column(found, "reason") == {1: "eval_overlap", 2: "unique"}


def test_only_given_references_count() -> None:
    edges = _edges((REFERENCE, 1, 0.9), (REFERENCE + 1, 2, 0.9))
    found = _verdicts([1, 2], edges, (REFERENCE + 1,))
    assert _column(found, "kept") == {1: True, 2: False}


def test_hash_duplicates_follow_the_image_they_repeat() -> None:
    duplicates = pl.DataFrame(
        {"image_id": [9], "duplicate_of": [2]}, schema=dict(DUPLICATES.columns)
    )
    edges = _edges((1, 2, 0.7), (REFERENCE, 1, 0.5))
    verdicts = _decide(_images([1, 2, 9]), edges, (REFERENCE,), duplicates=duplicates)
    found = pl.concat(verdicts.frames())
    reasons = {1: "eval_overlap", 2: "copy", 9: "copy"}
    assert _column(found, "reason") == reasons
    assert _column(found, "component") == {1: 1, 2: 1, 9: 1}
    assert _column(found, "evidence_id")[9] == 2
    dropped = {"hash_duplicate": 1, "copy": 1, "eval_overlap": 1}
    assert verdicts.funnel() == (0, dropped)


def test_an_image_with_hash_duplicates_only_is_a_representative() -> None:
    duplicates = pl.DataFrame(
        {"image_id": [9], "duplicate_of": [2]}, schema=dict(DUPLICATES.columns)
    )
    found = _verdicts([2, 9], [], duplicates=duplicates)
    assert _column(found, "reason") == {2: "representative", 9: "copy"}


def test_duplicates_of_another_pool_are_refused() -> None:
    other = pl.DataFrame({"image_id": [9], "duplicate_of": [8]}, schema=dict(DUPLICATES.columns))
    with pytest.raises(InputError, match="same run"):
        _verdicts([1], [], duplicates=other)


def test_the_guard_sees_the_sizes_of_both_passes() -> None:
    guard = NoGuard()
    edges = _edges((1, 2, 0.7), (3, 4, 0.5), (REFERENCE, 5, 0.5))
    _decide(_images([1, 2, 3, 4, 5]), edges, (REFERENCE,), guard=guard)
    assert guard.seen == [{1: 3, 2: 1}, {1: 2, 2: 1}]


def test_without_references_nothing_is_joined_at_the_lower_threshold() -> None:
    """A pool that only chains together below the threshold of copies is no reason to stop."""
    guard = NoGuard()
    edges = _edges((1, 2, 0.7), (2, 3, 0.5), (3, 4, 0.5))
    found = _decide(_images([1, 2, 3, 4]), edges, guard=guard)
    assert guard.seen == [{1: 2, 2: 1}]
    assert found.reason.tolist().count(relative.EVAL_OVERLAP) == 0


def test_rows_do_not_depend_on_order_or_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    ids = [*range(40), *(5 << 32 | i for i in range(0, 60, 2))]
    ends = rng.choice([*ids, REFERENCE, REFERENCE + 1], (80, 2))
    near = rng.choice([0.5, 0.7, 0.9], 80)
    edges = _edges(*((int(a), int(b), float(s)) for (a, b), s in zip(ends, near, strict=True)))
    references = (REFERENCE, REFERENCE + 1)
    expected = _verdicts(ids, edges, references)
    monkeypatch.setattr(relative, "ROWS", 7)
    turned = [pl.concat(edges[::-1])]
    assert _verdicts(ids[::-1], turned, references).equals(expected)
    assert expected["image_id"].to_list() == sorted(ids)


@given(
    st.lists(
        st.tuples(st.integers(0, 19), st.integers(0, 24), st.sampled_from([0.4, 0.5, 0.7])),
        max_size=40,
    ),
    st.sampled_from(["component", "direct"]),
)
@settings(max_examples=40, deadline=None)
def test_networkx_agrees(rows: list[tuple[int, int, float]], overlap: str) -> None:
    """Pool 0..19, references 20..24; no survivor has a reference within the threshold."""
    edges = [(b, a, s) if b >= 20 else (a, b, s) for a, b, s in rows if a != b]
    rules = replace(RULES, overlap=overlap)
    found = _verdicts(list(range(20)), _edges(*edges), tuple(range(20, 25)), rules)
    graph = nx.Graph()
    graph.add_nodes_from(range(20))
    graph.add_edges_from((a, b) for a, b, s in edges if s > 0.6 and a < 20)
    chosen = {min(component) for component in nx.connected_components(graph)}
    alive = chosen | set(range(20, 25))
    across = nx.Graph()
    across.add_nodes_from(alive)
    across.add_edges_from((a, b) for a, b, s in edges if s > 0.45 and {a, b} <= alive)
    touched = set()
    for reference in range(20, 25):
        near = nx.node_connected_component(across, reference)
        touched |= near if overlap == "component" else set(across[reference])
    assert set(found.filter("kept")["image_id"]) == chosen - touched
    assert found.height == 20
