from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from sauropod.visualise.pca import colours, foregrounds, projected


@given(seed=st.integers(0, 99), scale=st.floats(0.5, 5))
def test_projected_is_scikit_learns_up_to_sign(seed: int, scale: float) -> None:
    random = np.random.Generator(np.random.Philox(key=seed))
    tokens = scale * random.normal(size=(40, 6)) * np.arange(1, 7)
    found = projected(torch.from_numpy(tokens), components=3).numpy()
    expected = PCA(3).fit_transform(tokens)
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, expected * signs, atol=1e-8 * scale)
    mirrored = projected(torch.from_numpy(tokens), components=3).numpy()
    np.testing.assert_array_equal(found, mirrored)


def test_the_planted_foreground_is_found(seen: Callable, planted: Callable) -> None:
    places = [((9, 12), (3, 4, 7, 9)), ((10, 8), (2, 2, 6, 7)), ((7, 7), (3, 3, 4, 5))]
    tokens, masks = zip(
        *(planted(grid, box, seed=i) for i, (grid, box) in enumerate(places)), strict=True
    )
    for sign in (1, -1):  # a component's sign is anybody's guess: the rims tell
        pictures = [seen(sign * one) for one in tokens]
        found = foregrounds(pictures, threshold=0.0)
        for mask, expected in zip(found, masks, strict=True):
            np.testing.assert_array_equal(mask.numpy(), expected.ravel())
    everything = foregrounds([seen(one) for one in tokens], threshold=-10.0)
    assert all(bool(mask.all()) for mask in everything)


def test_the_same_parts_have_the_same_colours(seen: Callable, planted: Callable) -> None:
    first, mask = planted((9, 9), (2, 2, 7, 7))
    second, other_mask = planted((9, 12), (3, 5, 8, 10), seed=5)
    pictures = [seen(first), seen(second)]
    painted = colours(pictures, foregrounds(pictures, threshold=0.0))
    assert (painted[0][~mask] == 0).all()
    assert (painted[1][~other_mask] == 0).all()
    # The thing's tokens are its rows and columns along two axes: colour says where in the thing.
    parts = [painted[0][2:7, 2:7].astype(int), painted[1][3:8, 5:10].astype(int)]
    np.testing.assert_allclose(parts[0][..., :2], parts[1][..., :2], atol=4)
    assert len(np.unique(parts[0][..., 0].round(-1))) >= 5


@pytest.mark.parametrize("count", [0, 2])
def test_almost_no_foreground_is_black(seen: Callable, planted: Callable, count: int) -> None:
    tokens, _ = planted((6, 6), (2, 2, 4, 4))
    mask = torch.zeros(36, dtype=torch.bool)
    mask[:count] = True
    assert (colours([seen(tokens)], [mask])[0] == 0).all()


def test_equal_tokens_give_no_warning_and_no_nan(seen: Callable) -> None:
    pictures = [seen(np.ones((5, 5, 4)))]
    masks = foregrounds(pictures, threshold=0.0)
    assert colours(pictures, masks)[0].shape == (5, 5, 3)
