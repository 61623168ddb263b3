"""Junk: every kind can be drawn at any size, and keyed."""

import numpy as np
import pytest

from sauropod.demo.junk import KINDS, junk
from sauropod.demo.keys import generator, pick


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(40, 30), (97, 64)])
def test_every_kind_draws_something(kind: str, size: tuple[int, int]) -> None:
    image = KINDS[kind](generator(3, kind), size)
    assert image.size == size
    assert image.mode == "RGB"
    assert np.asarray(image).std() > 1


def test_the_same_key_draws_the_same() -> None:
    a, b = (junk(generator(5, "x"), (50, 50)).tobytes() for _ in range(2))
    assert a == b


def test_keys_differ_by_name_and_not_by_order_of_use() -> None:
    first = generator(0, "a", 1).random()
    generator(0, "b").random(100)
    assert generator(0, "a", 1).random() == first
    assert generator(0, "a1").random() != first
    assert pick(generator(0), ["only"]) == "only"
