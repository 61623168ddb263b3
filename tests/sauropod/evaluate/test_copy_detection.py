from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sauropod.errors import InputError
from sauropod.evaluate.copy_detection import (
    best_pairs,
    copy_rows,
    pair_precision,
    read_copydays,
    read_disc21,
)
from sauropod.evaluate.ranking import Relevance


def _random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def _truth(pairs: set[tuple[int, int]], queries: int) -> list[Relevance]:
    nothing = np.empty(0, np.int64)
    found = [[r for q, r in sorted(pairs) if q == query] for query in range(queries)]
    return [Relevance(np.asarray(one, np.int64), nothing) for one in found]


def _challenge(predictions: list[tuple[float, int, int]], truth: set[tuple[int, int]]) -> float:
    """The challenge's measure: sort by score, wrong ones first among equals; sum recall steps."""
    judged = sorted((-score, (q, r) in truth) for score, q, r in predictions)
    found, area = 0, 0.0
    for place, (_, right) in enumerate(judged, start=1):
        found += right
        area += right * found / place
    return area / len(truth)


@given(
    seed=st.integers(0, 999), tied=st.booleans(), limit=st.integers(1, 60), chunk=st.integers(1, 7)
)
def test_as_the_challenge(seed: int, tied: bool, limit: int, chunk: int) -> None:
    random = _random(seed)
    if tied:  # few directions: many pairs are equally similar, to the bit
        axes = np.eye(4)
        queries, references = (axes[random.integers(0, 4, n)] for n in (6, 9))
    else:
        queries, references = (random.normal(size=(n, 4)) for n in (6, 9))
    queries, references = (
        torch.nn.functional.normalize(torch.from_numpy(one).float(), dim=1)
        for one in (queries, references)
    )
    truth = {
        (int(q), int(r))
        for q, r in zip(random.integers(0, 6, 7), random.integers(0, 9, 7), strict=True)
    }
    pairs = best_pairs(queries, references, limit=limit, chunk=chunk)
    scores = (queries @ references.T).numpy()
    everything = [(float(scores[q, r]), q, r) for q in range(6) for r in range(9)]
    kept = sorted(everything, key=lambda one: (-one[0], one[1], one[2]))[:limit]
    assert [(q, r) for _, q, r in kept] == list(zip(pairs.query, pairs.reference, strict=True))
    found = pair_precision(pairs, _truth(truth, 6))
    assert found == pytest.approx(_challenge(kept, truth), abs=1e-12)


def _disc21(root: Path, touch: Callable) -> Path:
    touch(
        root, *(f"queries/Q{i}.jpg" for i in range(4)), *(f"references/R{i}.jpg" for i in range(5))
    )
    (root / "dev_ground_truth.csv").write_text("query_id,reference_id\nQ0,R3\nQ1,\nQ2,R0\nQ3,\n")
    return root


def test_disc21(tmp_path: Path, touch: Callable, embed_by: Callable) -> None:
    root = _disc21(tmp_path, touch)
    axes = np.eye(9)
    features = {f"R{i}.jpg": axes[i] for i in range(5)}
    features |= {f"Q{i}.jpg": axes[5 + i] for i in range(4)}
    features["Q0.jpg"] = axes[3] + 0.1 * axes[8]
    features["Q1.jpg"] = axes[1] + 0.5 * axes[8]  # surer of a wrong pair than Q2 of its right one
    features["Q2.jpg"] = axes[0] + 0.8 * axes[2]
    rows = {row.metric: row for row in copy_rows(read_disc21(root), embed_by(features))}
    assert rows["muap"].value == pytest.approx((1 + 2 / 3) / 2)
    assert rows["muap"].num_samples == 4
    assert rows["map"].value == rows["top1"].value == rows["queries_top1"].value == 1.0
    assert rows["map"].num_samples == 2


def test_a_broken_query_leaves_its_pair_out(
    tmp_path: Path, touch: Callable, embed_by: Callable
) -> None:
    axes = np.eye(9)
    features = {f"R{i}.jpg": axes[i] for i in range(5)}
    features |= {f"Q{i}.jpg": axes[3 + i] for i in range(4)}
    features["Q2.jpg"] = None
    rows = {
        row.metric: row
        for row in copy_rows(read_disc21(_disc21(tmp_path, touch)), embed_by(features))
    }
    assert rows["muap"].num_samples == 3
    assert rows["unreadable_queries"].value == 1


def test_copydays(tmp_path: Path, touch: Callable, embed_by: Callable) -> None:
    touch(tmp_path, "original/200000.jpg", "original/200100.jpg", "original/200200.jpg")
    touch(tmp_path, "strong/200001.jpg", "strong/200101.jpg", "strong/200102.jpg")
    touch(tmp_path, "jpegqual/3/200003.jpg", "crops/80/200204.jpg")
    copies = read_copydays(tmp_path)
    assert list(copies.edits) == ["crops_80", "jpegqual_3", "strong"]
    axes = np.eye(3)
    features = {f"200{i}00.jpg": axes[i] for i in range(3)}
    features |= {"200001.jpg": axes[0], "200101.jpg": axes[1], "200003.jpg": axes[0]}
    features |= {"200102.jpg": axes[2] + 0.1 * axes[1], "200204.jpg": axes[2]}
    rows = {row.metric: row for row in copy_rows(copies, embed_by(features))}
    # 200102 finds its original second: a trapezoid of precision from 0 to 1/2.
    assert rows["strong_map"].value == pytest.approx((1 + 1 + 1 / 4) / 3)
    assert rows["map"].value == pytest.approx((1 + 1 + 1 + 1 + 1 / 4) / 5)
    assert rows["crops_80_map"].value == rows["jpegqual_3_map"].value == 1.0
    # In one list: four right pairs, then one wrong, one right.
    assert rows["muap"].value == pytest.approx((4 + 5 / 6) / 5)


def test_bad_layouts_are_one_sentence(tmp_path: Path, touch: Callable) -> None:
    touch(tmp_path, "original/200000.jpg")
    with pytest.raises(InputError, match="strong/, jpegqual/ or crops/, found none"):
        read_copydays(tmp_path)
    touch(tmp_path, "strong/209900.jpg")
    with pytest.raises(InputError, match=r"strong: .*found 2099"):
        read_copydays(tmp_path)
    touch(tmp_path, "queries/Q0.jpg", "references/R0.jpg")
    with pytest.raises(InputError, match=r"one .ground_truth.csv, found none"):
        read_disc21(tmp_path)
    table = tmp_path / "dev_ground_truth.csv"
    for text, words in (
        ("query_id,reference_id\nQ0,R7\n", "R7 without its image"),
        ("Q9,R0\n", "Q9 without its image"),
        ("Q0,R0,0.5\n", "'Q0,R0,0.5'"),
        ("query_id,reference_id\nQ0,\n", "no reference at all"),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=words):
            read_disc21(tmp_path)
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="utf-8"):
        read_disc21(tmp_path)
