"""The protocol of ROxford and RParis on a miniature in its layout, beside a plain walk down."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.revisited import read_revisited, revisited_rows

NUM, QUERIES = 30, 5


def _random(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def _book(seed: int = 0) -> dict[str, Any]:
    """Ground truth as the official file has it: arrays, and a query without hard positives."""
    gnd = []
    for query in range(QUERIES):
        order = _random(seed + query).permutation(NUM)
        sizes = (4, 7) if query else (4, 4)
        easy, hard, junk = np.split(order[: sizes[1] + 3], sizes)
        gnd.append({"bbx": [1.5, 2.0, 30.0, 40.25], "easy": easy, "hard": hard, "junk": junk})
    names = [f"all_souls_{i:06d}" for i in range(NUM)]
    return {"gnd": gnd, "imlist": names, "qimlist": [f"query_{i}" for i in range(QUERIES)]}


@pytest.fixture
def root(tmp_path: Path, touch: Callable) -> Path:
    book = _book()
    names = [f"jpg/{name}.jpg" for name in (*book["imlist"], *book["qimlist"])]
    (tmp_path / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(book, protocol=2))
    return touch(tmp_path, *names)


def _oracle(book: dict[str, Any], features: dict[str, np.ndarray], grade: str) -> list[float]:
    """Walk down every query's list: trapezoids of precision over recall, and precision at 10."""
    wanted = {"easy": ["easy"], "medium": ["easy", "hard"], "hard": ["hard"]}[grade]
    ignored = {"easy": ["hard", "junk"], "medium": ["junk"], "hard": ["easy", "junk"]}[grade]
    areas, depths = [], []
    for name, truth in zip(book["qimlist"], book["gnd"], strict=True):
        good = {int(i) for kind in wanted for i in truth[kind]}
        junk = {int(i) for kind in ignored for i in truth[kind]}
        if not good:
            continue
        query = features[f"{name}.jpg"]
        scores = [
            float(query @ other / np.linalg.norm(query) / np.linalg.norm(other))
            for other in (features[f"{n}.jpg"] for n in book["imlist"])
        ]
        order = [i for i in sorted(range(NUM), key=lambda i: -scores[i]) if i not in junk]
        hits = [i in good for i in order]
        area, found = 0.0, 0
        for place, hit in enumerate(hits):
            if hit:
                before = found / place if place else 1.0
                found += 1
                area += (before + found / (place + 1)) / 2 / len(good)
        depth = min(10, max(place for place, hit in enumerate(hits) if hit) + 1)
        areas.append(area)
        depths.append(sum(hits[:depth]) / depth)
    return [float(np.mean(areas)), float(np.mean(depths)), len(areas)]


@pytest.mark.parametrize("seed", range(5))
def test_as_revisitop(root: Path, embed_by: Callable, seed: int) -> None:
    book = _book(seed)
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(book, protocol=4))
    names = [*book["imlist"], *book["qimlist"]]
    vectors = _random(seed + 50).normal(size=(len(names), 5))
    features = {f"{name}.jpg": vector for name, vector in zip(names, vectors, strict=True)}
    rows = {row.metric: row for row in revisited_rows(root, embed_by(features))}
    for grade in ("easy", "medium", "hard"):
        area, depth, count = _oracle(book, features, grade)
        assert rows[f"{grade}_map"].value == pytest.approx(area, abs=1e-12)
        assert rows[f"{grade}_mp10"].value == pytest.approx(depth, abs=1e-12)
        assert rows[f"{grade}_map"].num_samples == count
    assert rows["hard_map"].num_samples == QUERIES - 1
    assert rows["unreadable_queries"].value == rows["unreadable_gallery"].value == 0


def test_perfect_features_score_one(root: Path, embed_by: Callable) -> None:
    book, axes = _book(), np.eye(QUERIES)
    features = {f"{name}.jpg": np.ones(QUERIES) for name in book["imlist"]}
    features |= {f"{name}.jpg": axes[i] for i, name in enumerate(book["qimlist"])}
    for truth in book["gnd"]:  # one query's positives may be another's: only the first is judged
        truth["easy"], truth["hard"] = truth["easy"][:0], truth["hard"][:0]
    book["gnd"][0]["easy"] = np.array([3, 4])
    features |= {f"{book['imlist'][i]}.jpg": axes[0] for i in (3, 4)}
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(book))
    rows = {row.metric: row.value for row in revisited_rows(root, embed_by(features))}
    assert rows["medium_map"] == rows["medium_mp1"] == rows["medium_mp5"] == rows["easy_map"] == 1.0


def test_json_says_the_same(root: Path, tmp_path: Path) -> None:
    expected = read_revisited(root)
    book = json.dumps(_book(), default=lambda array: array.tolist())
    (root / "gnd_roxford5k.pkl").unlink()
    (root / "gnd.json").write_text(book)
    found = read_revisited(root)
    assert found.queries == expected.queries
    assert found.queries[0].box == (1.5, 2.0, 30.0, 40.25)
    assert found.gallery == expected.gallery
    assert repr(found.grades) == repr(expected.grades)


class _Hostile:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.victim),)


def test_a_hostile_pickle_is_one_sentence(root: Path, tmp_path: Path) -> None:
    hostile = {**_book(), "gnd": _Hostile(tmp_path / "victim")}
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(hostile))
    with pytest.raises(InputError, match=r"found a call of posix\.mkdir; take the official"):
        read_revisited(root)
    assert not (tmp_path / "victim").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gnd": _book()["gnd"][:3]}, "expected 5 entries in gnd.*found 3"),
        ({"gnd": [{"easy": []}] * 5}, "KeyError"),
        ({"gnd": [{**one, "easy": [NUM]} for one in _book()["gnd"]]}, "not of 0..29"),
        ({"gnd": [{**one, "junk": [-1]} for one in _book()["gnd"]]}, "not of 0..29"),
        ({"gnd": [{**one, "hard": [0.5]} for one in _book()["gnd"]]}, "not of 0..29"),
        ({"gnd": [{**one, "hard": "ab"} for one in _book()["gnd"]]}, "ValueError"),
        ({"gnd": [{**one, "bbx": [5, 5, 5, 9]} for one in _book()["gnd"]]}, "an empty box"),
        ({"gnd": [{**one, "bbx": [5, 5]} for one in _book()["gnd"]]}, "ValueError"),
        ({"imlist": 3}, "TypeError"),
        ({"imlist": []}, "not of 0..-1"),
        ({"imlist": [*_book()["imlist"], "lost"]}, r"lost\.jpg.*1 missing"),
    ],
)
def test_a_wrong_truth_is_one_sentence(root: Path, change: dict[str, Any], words: str) -> None:
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps({**_book(), **change}))
    with pytest.raises(InputError, match=words):
        read_revisited(root)


def test_truth_that_is_not_there_or_is_there_twice(root: Path) -> None:
    (root / "gnd.json").write_text("[]")
    with pytest.raises(InputError, match=r"found gnd\.json, gnd_roxford5k\.pkl"):
        read_revisited(root)
    (root / "gnd_roxford5k.pkl").unlink()
    with pytest.raises(InputError, match="found TypeError"):
        read_revisited(root)
    (root / "gnd.json").write_text("{")
    with pytest.raises(InputError, match="JSONDecodeError"):
        read_revisited(root)
    (root / "gnd.json").unlink()
    with pytest.raises(InputError, match="found none"):
        read_revisited(root)
