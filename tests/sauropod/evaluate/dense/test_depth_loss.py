import math

import pytest
import torch
from torch import Tensor

from sauropod.evaluate.dense.depth_loss import EPS, depth_loss, gradient_loss, sig_loss


def _maps(seed: int, shape: tuple[int, ...] = (2, 13, 17)) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    predicted, truth = (torch.rand(shape, generator=generator) * 9 + 0.5 for _ in range(2))
    truth[torch.rand(shape, generator=generator) < 0.3] = 0
    return predicted, truth


def test_sig_loss_by_hand() -> None:
    predicted = torch.tensor([[[math.e - EPS, 1 - EPS, 7.0]]])
    truth = torch.tensor([[[1 - EPS, 1 - EPS, 0.0]]])
    # Log errors 1 and 0: mean 1/2, variance with Bessel's correction 1/2; the third is unmeasured.
    both = math.sqrt(0.5 + 0.15 * 0.25)
    assert sig_loss(predicted, truth).item() == pytest.approx(both, rel=1e-5)
    mean = math.sqrt(0.15 * 0.25)
    assert sig_loss(predicted, truth, only_mean=True).item() == pytest.approx(mean, rel=1e-5)


def test_gradient_loss_by_hand() -> None:
    truth = torch.ones(1, 1, 5)
    predicted = torch.full((1, 1, 5), 1.0)
    predicted[0, 0, 2] = math.e * (1 + EPS) - EPS  # a log error of 1 in the middle
    # Stride 1: |0-1| and |1-0| two apart, over 5 pixels; stride 2: pixels 0, 2, 4 give |0-0|.
    assert gradient_loss(predicted, truth).item() == pytest.approx(2 / 5, rel=1e-5)


def _published_gradient(predicted: Tensor, truth: Tensor) -> Tensor:
    """The reference's formula on one (H, W) map, where its slices mean rows and columns."""
    total = torch.zeros(())
    pairs = [(predicted, truth)]
    pairs += [(predicted[:: 2 * i, :: 2 * i], truth[:: 2 * i, :: 2 * i]) for i in range(1, 4)]
    for p, t in pairs:
        mask = t > 0
        error = (torch.log(p + 0.001) - torch.log(t + 0.001)) * mask
        vertical = torch.abs(error[0:-2, :] - error[2:, :]) * (mask[0:-2, :] * mask[2:, :])
        horizontal = torch.abs(error[:, 0:-2] - error[:, 2:]) * (mask[:, 0:-2] * mask[:, 2:])
        total = total + (horizontal.sum() + vertical.sum()) / mask.sum()
    return total


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_published_formulas(seed: int) -> None:
    predicted, truth = _maps(seed, (1, 13, 17))
    ours = gradient_loss(predicted, truth)
    assert ours.item() == pytest.approx(_published_gradient(predicted[0], truth[0]).item())
    p, t = predicted[truth > 0], truth[truth > 0]
    g = torch.log(p + 0.001) - torch.log(t + 0.001)
    sigma = torch.sqrt(torch.var(g) + 0.15 * torch.pow(torch.mean(g), 2))
    whole = depth_loss(predicted, truth, only_mean=False)
    assert whole.item() == pytest.approx((sigma + 0.5 * ours).item())


def test_images_do_not_mix() -> None:
    predicted, _ = _maps(3)
    whole = torch.full_like(predicted, 2.0)
    both = gradient_loss(predicted, whole)
    mean = sum(gradient_loss(predicted[i : i + 1], whole[i : i + 1]) for i in range(2)) / 2
    assert both.item() == pytest.approx(float(mean), rel=1e-5)


def test_unmeasured_pixels_do_not_matter_and_their_slope_is_zero() -> None:
    predicted, truth = _maps(4)
    other = torch.where(truth > 0, predicted, predicted + 3)
    assert depth_loss(predicted, truth, only_mean=False) == depth_loss(
        other, truth, only_mean=False
    )
    predicted.requires_grad_()
    depth_loss(predicted, truth, only_mean=False).backward()
    assert predicted.grad is not None
    assert (predicted.grad[truth == 0] == 0).all()


@pytest.mark.parametrize("only_mean", [True, False])
def test_perfect_and_empty_truths_have_finite_slopes(only_mean: bool) -> None:
    for truth in (torch.full((1, 4, 4), 2.0), torch.zeros(1, 4, 4)):
        predicted = torch.full((1, 4, 4), 2.0, requires_grad=True)
        depth_loss(predicted, truth, only_mean=only_mean).backward()
        assert predicted.grad is not None
        assert predicted.grad.isfinite().all()
