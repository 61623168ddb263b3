import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sauropod.evaluate.dense.depth_heads import BinsHead, DptHead, init_weights
from sauropod.evaluate.dense.patch_maps import PatchMap


def _maps(count: int, *, width: int = 16, height: int = 5, seed: int = 0) -> list[PatchMap]:
    generator = torch.Generator().manual_seed(seed)
    return [
        PatchMap(
            torch.randn(2, width, height, 7, generator=generator),
            torch.randn(2, width, generator=generator),
        )
        for _ in range(count)
    ]


def _drawn(head: BinsHead | DptHead, seed: int = 0) -> BinsHead | DptHead:
    init_weights(head, generator=torch.Generator().manual_seed(seed))
    return head


@pytest.mark.parametrize("num_layers", [1, 4])
def test_bins_equal_the_published_order_of_operations(num_layers: int) -> None:
    head = BinsHead(16, num_layers=num_layers, num_bins=32, max_depth=10)
    _drawn(head)
    maps = _maps(4)
    wide = [
        torch.cat([patches, cls[:, :, None, None].expand_as(patches)], dim=1)
        for patches, cls in maps[-num_layers:]
    ]
    wide = [F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False) for x in wide]
    features = torch.cat(wide, dim=1)
    logit = F.conv2d(features, head.conv_depth.weight, head.conv_depth.bias).relu() + 0.1
    shares = logit / logit.sum(dim=1, keepdim=True)
    bins = torch.linspace(1e-3, 10, 32)
    by_hand = (shares * bins[:, None, None]).sum(dim=1)
    assert head(maps).shape == (2, 20, 28)
    assert torch.allclose(head(maps), by_hand, atol=1e-5)


def test_bins_stay_within_their_range_and_start_in_the_middle() -> None:
    head = BinsHead(16, num_layers=1, num_bins=64, max_depth=8)
    _drawn(head)
    found = head(_maps(1))
    assert found.min() >= 1e-3
    assert found.max() <= 8
    with torch.no_grad():
        head.conv_depth.weight.zero_()
        head.conv_depth.bias.zero_()  # type: ignore[union-attr]
    assert torch.allclose(head(_maps(1)), torch.tensor(4.0005), atol=1e-4)


def _dpt(state: dict[str, Tensor], maps: list[PatchMap]) -> Tensor:
    """The decoder said again in plain functions, by the names of its parameters."""

    def conv(x: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    def residual(x: Tensor, name: str) -> Tensor:
        first = conv(F.relu(x), f"{name}.conv1.conv")
        return x + conv(F.relu(first), f"{name}.conv2.conv")

    def up(x: Tensor) -> Tensor:
        return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)

    levels = []
    for i, (patches, cls) in enumerate(maps):
        block, shape = "reassemble_blocks", patches.shape
        both = torch.cat([patches, cls[:, :, None, None].expand_as(patches)], dim=1)
        weight, bias = (state[f"{block}.readout_projects.{i}.0.{n}"] for n in ("weight", "bias"))
        x = F.gelu(F.conv2d(both, weight[:, :, None, None], bias)).reshape(shape)
        x = conv(x, f"{block}.projects.{i}.conv")
        resize = f"{block}.resize_layers.{i}"
        if i < 2:
            x = F.conv_transpose2d(
                x, state[f"{resize}.weight"], state[f"{resize}.bias"], stride=4 - 2 * i
            )
        elif i == 3:
            x = F.conv2d(x, state[f"{resize}.weight"], state[f"{resize}.bias"], 2, 1)
        levels.append(conv(x, f"convs.{i}.conv"))
    x = levels[3]
    for i in range(4):
        name = f"fusion_blocks.{i}"
        if i:
            finer = levels[3 - i]
            if finer.shape != x.shape:
                finer = F.interpolate(finer, size=x.shape[2:], mode="bilinear", align_corners=False)
            x = x + residual(finer, f"{name}.res_conv_unit1")
        x = conv(up(residual(x, f"{name}.res_conv_unit2")), f"{name}.project.conv")
    x = F.relu(conv(x, "project.conv"))
    x = up(conv(x, "conv_depth.head.0"))
    x = F.relu(conv(x, "conv_depth.head.2"))
    return F.relu(conv(x, "conv_depth.head.4"))[:, 0] + 1e-3


@pytest.mark.parametrize("height", [4, 5])
def test_dpt_equals_a_plain_statement(height: int) -> None:
    head = _drawn(DptHead(16, channels=12))
    maps = _maps(4, height=height)
    found = head(maps)
    assert found.shape == (2, 16 * (height + height % 2), 128)  # 7 columns halve to 4
    assert torch.allclose(found, _dpt(head.state_dict(), maps), atol=1e-5)
    assert found.std() > 0


def test_every_parameter_learns_from_the_first_step_on_any_seed() -> None:
    for seed in range(6):
        head = _drawn(DptHead(16, channels=8), seed)
        head(_maps(4, seed=seed)).sum().backward()
        slopes = [parameter.grad for parameter in head.parameters()]
        assert all(slope is not None and slope.abs().sum() > 0 for slope in slopes)


def test_weights_are_drawn_from_the_generator_alone() -> None:
    one, same, other = (_drawn(DptHead(16, channels=8), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["project.conv.weight"], other["project.conv.weight"])
    assert one["project.conv.weight"].abs().max() <= 1 / (8 * 9) ** 0.5
