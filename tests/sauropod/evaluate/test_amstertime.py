from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from sauropod.errors import InputError
from sauropod.evaluate.amstertime import amstertime_rows, read_amstertime

PLACES = 140


def _root(folder: Path, touch: Callable) -> Path:
    names = [f"{side}.{kind}" for side, kind in (("new/{:04d}", "png"), ("old/{:04d}", "jpg"))]
    return touch(folder, *(name.format(i) for name in names for i in range(PLACES)))


def test_as_published(tmp_path: Path, touch: Callable, embed_by: Callable) -> None:
    """Mean over both directions of precision at the one right place, forgotten after 128."""
    random = np.random.Generator(np.random.Philox(key=3))
    new = random.normal(size=(PLACES, 12))
    old = new + 2.0 * random.normal(size=(PLACES, 12))
    features = {f"{i:04d}.png": new[i] for i in range(PLACES)}
    features |= {f"{i:04d}.jpg": old[i] for i in range(PLACES)}
    rows = {r.metric: r for r in amstertime_rows(_root(tmp_path, touch), embed_by(features))}
    hits = {}
    for name, queries, gallery in (("new", new, old), ("old", old, new)):
        search = NearestNeighbors(n_neighbors=PLACES, metric="cosine").fit(gallery)
        found = search.kneighbors(queries, return_distance=False)
        hits[name] = found == np.arange(PLACES)[:, None]
    hits[""] = np.concatenate([hits["new"], hits["old"]])
    for name, hit in hits.items():
        prefix = f"{name}_" if name else ""
        precision = np.cumsum(hit, axis=1) / np.arange(1, PLACES + 1)
        for metric, depth in (("map", PLACES), ("map128", 128)):
            expected = (precision * hit)[:, :depth].sum(axis=1).mean()
            assert rows[prefix + metric].value == pytest.approx(expected, abs=1e-12)
        for k in (1, 5):
            assert rows[f"{prefix}top{k}"].value == hit[:, :k].any(axis=1).mean()
        assert rows[f"{prefix}map"].num_samples == len(hit)
    assert rows["map128"].value < rows["map"].value


def test_a_photo_without_its_pair_is_one_sentence(tmp_path: Path, touch: Callable) -> None:
    root = _root(tmp_path, touch)
    (root / "old" / "0007.jpg").unlink()
    with pytest.raises(InputError, match="140 new and 139 old photos, 0007 without its pair"):
        read_amstertime(root)
    touch(root, "old/0007.jpg", "old/0007.png")
    with pytest.raises(InputError, match="141 old photos"):
        read_amstertime(root)
    with pytest.raises(InputError, match="no such folder"):
        read_amstertime(tmp_path / "none")


def test_a_broken_photo_leaves_its_pair_out(
    tmp_path: Path, touch: Callable, embed_by: Callable
) -> None:
    root = touch(tmp_path, *(f"{side}/{i}.png" for side in ("new", "old") for i in range(3)))
    rows = {
        row.metric: row
        for row in amstertime_rows(
            root, embed_by({"0.png": np.eye(2)[0], "1.png": np.eye(2)[1], "2.png": None})
        )
    }
    assert rows["map"].value == 1.0
    assert rows["map"].num_samples == 4
    assert rows["unreadable_new"].value == 1
