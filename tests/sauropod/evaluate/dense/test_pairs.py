import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from sauropod.errors import InputError
from sauropod.evaluate.dense.pairs import (
    Pair,
    Sample,
    Unusable,
    ahead,
    batches,
    found_pairs,
    loaded,
)
from sauropod.images import ImageError

PAIRS = [Pair(Path(f"{k}.png"), Path(f"{k}.map")) for k in range(7)]


def _view(pair: Pair, rng: np.random.Generator) -> Sample:
    if pair.image.stem in ("2", "5"):
        word = "unequal_size"
        raise ImageError(word)
    number = torch.tensor([[float(pair.image.stem)]])
    return Sample(number.expand(3, 1, 1), torch.tensor([[rng.random()]]))


def _drawn(*, num_threads: int, seed: int = 0, steps: int = 9) -> tuple[list, Unusable]:
    unusable: Unusable = {}
    found = batches(
        PAIRS,
        view=_view,
        steps=steps,
        batch_size=4,
        seed=seed,
        num_threads=num_threads,
        unusable=unusable,
    )
    return [(images[:, 0, 0, 0].tolist(), truth.ravel().tolist()) for images, truth in found], (
        unusable
    )


def test_batches_are_the_same_on_any_threads() -> None:
    one, unusable = _drawn(num_threads=1)
    assert one == _drawn(num_threads=3)[0]
    assert one != _drawn(num_threads=1, seed=1)[0]
    assert unusable == {Path("2.png"): "unequal_size", Path("5.png"): "unequal_size"}


def test_batches_are_full_and_every_pass_is_whole() -> None:
    found, _ = _drawn(num_threads=2, steps=10)
    assert all(len(images) == len(truth) == 4 for images, truth in found)
    images = list(itertools.chain.from_iterable(images for images, _ in found))
    for start in range(0, 40, 5):
        assert sorted(images[start : start + 5]) == [0, 1, 3, 4, 6]
    numbers = list(itertools.chain.from_iterable(truth for _, truth in found))
    assert len(set(numbers)) == 40  # every view is drawn anew


def test_when_none_can_be_used() -> None:
    found = batches(
        [PAIRS[2], PAIRS[5]],
        view=_view,
        steps=1,
        batch_size=1,
        seed=0,
        num_threads=2,
        unusable={},
    )
    with pytest.raises(InputError, match=r"none of 2 \(\{'unequal_size': 2\}\)"):
        next(found)


def test_loaded_keeps_the_order_and_counts_the_rest() -> None:
    unusable: Unusable = {}

    def number(pair: Pair) -> int:
        return int(_view(pair, np.random.default_rng(0)).image[0, 0, 0])

    found = loaded(PAIRS, number, num_threads=2, unusable=unusable)
    assert list(found) == [0, 1, 3, 4, 6]
    assert set(unusable) == {Path("2.png"), Path("5.png")}
    with pytest.raises(InputError, match="none of 1"):
        list(loaded(PAIRS[2:3], number, num_threads=1, unusable={}))


def test_ahead_reads_a_bounded_window_of_endless_items() -> None:
    taken = []

    def endless() -> Iterator[int]:
        for k in itertools.count():
            taken.append(k)
            yield k

    found = ahead(endless(), lambda k: k * k, num_threads=2)
    assert [next(found) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) < 20


def test_our_own_mistakes_are_not_swallowed() -> None:
    def wrong(_: Pair) -> int:
        return [][0]

    with pytest.raises(IndexError):
        list(loaded(PAIRS, wrong, num_threads=2, unusable={}))


def test_missing_files_are_named(tmp_path: Path) -> None:
    there = tmp_path / "a.png"
    there.touch()
    with pytest.raises(InputError, match=r"b\.png: expected a file of a set, found 1 of 2 files"):
        found_pairs([Pair(there, tmp_path / "b.png")], root=tmp_path, layout="a set", get="get it")
    with pytest.raises(InputError, match="expected a set, found no image; get it"):
        found_pairs([], root=tmp_path, layout="a set", get="get it")
