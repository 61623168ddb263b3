import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from sauropod.evaluate.dense.views import fitted_size, image_tensor, resized
from sauropod.evaluate.dense.windows import probabilities, slide, starts

WEIGHT = torch.randn(3, 3, 5, 5, generator=torch.Generator().manual_seed(0))


def _score(crops: Tensor) -> Tensor:
    """Depends on where a window ends: its borders are padded with zeros."""
    return F.conv2d(crops, WEIGHT, padding=2)


def test_starts_by_hand() -> None:
    assert starts(10, window=4, stride=3) == [0, 3, 6]
    assert starts(11, window=4, stride=3) == [0, 3, 6, 7]
    assert starts(3, window=4, stride=3) == [0]
    assert starts(4, window=4, stride=3) == [0]
    assert starts(683, window=512, stride=341) == [0, 171]


@given(st.integers(1, 300), st.integers(1, 80), st.integers(1, 80))
def test_windows_cover_every_pixel(side: int, window: int, stride: int) -> None:
    stride = min(stride, window)
    covered = np.zeros(side, int)
    for start in starts(side, window=window, stride=stride):
        assert 0 <= start <= max(side - window, 0)
        covered[start : start + window] += 1
    assert covered.min() >= 1


def _slid(image: Tensor, window: int, stride: int) -> Tensor:
    """mmsegmentation's loop, with its padding of every window to the whole image."""
    _, height, width = image.shape
    total, count = torch.zeros(1, 3, height, width), torch.zeros(1, 1, height, width)
    rows = max(height - window + stride - 1, 0) // stride + 1
    columns = max(width - window + stride - 1, 0) // stride + 1
    for i in range(rows):
        for j in range(columns):
            bottom, right = min(i * stride + window, height), min(j * stride + window, width)
            top, left = max(bottom - window, 0), max(right - window, 0)
            found = _score(image[None, :, top:bottom, left:right])
            total += F.pad(found, (left, width - right, top, height - bottom))
            count[:, :, top:bottom, left:right] += 1
    return (total / count)[0]


@settings(max_examples=20)
@given(st.integers(5, 40), st.integers(5, 40), st.integers(6, 16), st.integers(1, 7))
def test_slide_equals_the_plain_loop(height: int, width: int, window: int, batch: int) -> None:
    image = torch.randn(3, height, width, generator=torch.Generator().manual_seed(height * width))
    ours = slide(_score, image, window=window, stride=5, batch_size=batch)
    assert torch.allclose(ours, _slid(image, window, 5), atol=1e-5)


@pytest.mark.parametrize(("ratios", "flip"), [((1.0,), False), ((1.0, 1.32, 2.28), True)])
def test_probabilities_equal_the_plain_statement(ratios: tuple[float, ...], flip: bool) -> None:
    image = np.random.default_rng(1).integers(0, 256, (21, 30, 3), np.uint8)
    ours = probabilities(
        _score,
        image,
        image_size=(64, 16),
        ratios=ratios,
        flip=flip,
        window=12,
        stride=7,
        batch_size=3,
        device="cpu",
    )
    every = []
    for ratio in ratios:
        size = fitted_size(21, 30, bounds=(int(64 * ratio), int(16 * ratio)))
        for mirrored in [False, True][: 1 + flip]:
            scaled = image_tensor(resized(image, size))
            scaled = scaled.flip(2) if mirrored else scaled
            found = F.interpolate(_slid(scaled, 12, 7)[None], size=(21, 30), mode="bilinear")
            shares = found.softmax(dim=1)[0]
            every.append(shares.flip(2) if mirrored else shares)
    assert torch.allclose(ours, torch.stack(every).mean(dim=0), atol=1e-5)
    assert torch.allclose(ours.sum(dim=0), torch.ones(21, 30), atol=1e-5)
    assert (
        ours.argmax(dim=0) == torch.stack(every).mean(dim=0).argmax(dim=0)
    ).float().mean() > 0.99
