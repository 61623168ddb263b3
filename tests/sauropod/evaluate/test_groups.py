from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sauropod.errors import InputError
from sauropod.evaluate.groups import groups_rows, read_groups


def _embed(embed_by: Callable, **angles: float) -> Callable:
    turns = {name: np.deg2rad(angle) for name, angle in angles.items()}
    return embed_by({f"{n}.jpg": np.array([np.cos(t), np.sin(t)]) for n, t in turns.items()})


def test_by_hand(tmp_path: Path, touch: Callable, embed_by: Callable) -> None:
    root = touch(tmp_path, "cat/a.jpg", "cat/b.jpg", "dog/c.jpg", "owl/d.jpg", "owl/e.jpg")
    touch(root, "notes.txt", ".hidden/x.jpg")
    embed = _embed(embed_by, a=0, b=10, c=12, d=60, e=70, x=61)
    rows = {row.metric: row for row in groups_rows(root, embed)}
    # a finds b first; b finds c, then a; c is alone; d and e find each other.
    assert rows["map"].value == pytest.approx((1 + 1 / 2 + 1 + 1) / 4)
    assert rows["top1"].value == pytest.approx(3 / 4)
    assert rows["map"].num_samples == 4
    touch(root, "distractors/x.jpg")
    rows = {row.metric: row for row in groups_rows(root, embed)}
    assert rows["map"].value == pytest.approx((1 + 1 / 2 + 1 / 2 + 1 / 2) / 4)  # x between d and e
    assert rows["map"].num_samples == 4
    assert rows["unreadable_photos"].num_samples == 6


def test_bad_folders_are_one_sentence(tmp_path: Path, touch: Callable) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_groups(tmp_path / "none")
    touch(tmp_path, "cat/a.jpg", "dog/b.jpg", "distractors/x.jpg", "distractors/y.jpg")
    with pytest.raises(InputError, match="2 groups, none of two"):
        read_groups(tmp_path)
    touch(tmp_path, "cat/c.jpg", "empty/notes.txt")
    with pytest.raises(InputError, match=r"empty.*no image"):
        read_groups(tmp_path)
