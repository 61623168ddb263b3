"""Depth heads on frozen tokens of four blocks: linear bins, and the DPT decoder.

Parameters are named as in the released depth heads of DINOv2 (`decode_head.` taken off), so that
those load. Shapes: B images, D width, L layers, h x w patches, K bins, E fusion width.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sauropod.evaluate.dense.depth_metrics import MIN_DEPTH
from sauropod.evaluate.dense.patch_maps import PatchMap

UPSAMPLE = 4
EVIDENCE = 0.1
"""Added to every bin's score after the ReLU, so that no sum is zero."""
NECK = 32


class BinsHead(nn.Module):
    """Depth as a mixture of K even depths: 1x1 convolution of patch tokens with their CLS token.

    The published head upsamples the features four times and then convolves; both are linear, so
    here the scores are upsampled: the same numbers from 2 L D / K times less memory.
    """

    def __init__(self, width: int, *, num_layers: int, num_bins: int, max_depth: float) -> None:
        """Lay the parameters out; `width` is D, `max_depth` the last bin in metres."""
        super().__init__()
        self.conv_depth = nn.Conv2d(2 * num_layers * width, num_bins, kernel_size=1)
        bins = torch.linspace(MIN_DEPTH, max_depth, num_bins)
        self.register_buffer("bins", bins, persistent=False)
        self.num_layers = num_layers

    def forward(self, maps: Sequence[PatchMap]) -> Tensor:
        """Metres (B, 4h, 4w) by the last L maps."""
        used = maps[-self.num_layers :]
        weight = self.conv_depth.weight[..., 0, 0].unflatten(1, (self.num_layers, 2, -1))
        patches = torch.cat([one.patches for one in used], dim=1)  # (B, L D, h, w)
        scores = F.conv2d(patches, weight[:, :, 0].flatten(1)[..., None, None])
        cls_tokens = torch.cat([one.cls_token for one in used], dim=1)  # (B, L D)
        image = F.linear(cls_tokens, weight[:, :, 1].flatten(1), self.conv_depth.bias)
        scores = scores + image[..., None, None]
        scores = F.interpolate(scores, scale_factor=UPSAMPLE, mode="bilinear", align_corners=False)
        shares = scores.relu() + EVIDENCE  # (B, K, 4h, 4w)
        mixed = torch.einsum("bkhw,k->bhw", shares, self.get_buffer("bins"))
        return mixed / shares.sum(dim=1)


class Convolution(nn.Module):
    """A convolution under the name `conv`, as the released heads have it."""

    def __init__(self, inputs: int, outputs: int, *, side: int, bias: bool) -> None:
        """Keep height and width; `side` is 1 or 3."""
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, h, w) -> (B, outputs, h, w)."""
        return self.conv(x)


class Reassemble(nn.Module):
    """Patch maps of four layers to feature maps at 4, 2, 1 and 1/2 times the patch resolution."""

    def __init__(self, width: int, *, channels: Sequence[int]) -> None:
        """Lay the parameters out; `channels` are the four maps' widths."""
        super().__init__()
        self.projects = nn.ModuleList(
            Convolution(width, outputs, side=1, bias=True) for outputs in channels
        )
        first, second, _, last = channels
        self.resize_layers = nn.ModuleList(
            [
                nn.ConvTranspose2d(first, first, kernel_size=4, stride=4),
                nn.ConvTranspose2d(second, second, kernel_size=2, stride=2),
                nn.Identity(),
                nn.Conv2d(last, last, kernel_size=3, stride=2, padding=1),
            ]
        )
        self.readout_projects = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * width, width), nn.GELU()) for _ in channels
        )

    def forward(self, maps: Sequence[PatchMap]) -> list[Tensor]:
        """Four maps, the finest first."""
        found = []
        for i, (patches, cls_token) in enumerate(maps):
            tokens = patches.flatten(2).transpose(1, 2)  # (B, N, D)
            readout = cls_token[:, None].expand_as(tokens)
            tokens = self.readout_projects[i](torch.cat([tokens, readout], dim=2))
            x = self.projects[i](tokens.transpose(1, 2).unflatten(2, patches.shape[2:]))
            found.append(self.resize_layers[i](x))
        return found


class ResidualUnit(nn.Module):
    """Two ReLU-convolution pairs around a shortcut."""

    def __init__(self, channels: int) -> None:
        """Lay the parameters out."""
        super().__init__()
        self.conv1 = Convolution(channels, channels, side=3, bias=False)
        self.conv2 = Convolution(channels, channels, side=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, E, h, w) -> the same shape."""
        return x + self.conv2(self.conv1(x.relu()).relu())


class Fusion(nn.Module):
    """Add a finer layer to what came from the coarser ones, and double the resolution."""

    def __init__(self, channels: int, *, is_first: bool) -> None:
        """Lay the parameters out; the first fusion has nothing to add to."""
        super().__init__()
        self.project = Convolution(channels, channels, side=1, bias=True)
        self.res_conv_unit1 = None if is_first else ResidualUnit(channels)
        self.res_conv_unit2 = ResidualUnit(channels)

    def forward(self, x: Tensor, finer: Tensor | None = None) -> Tensor:
        """(B, E, h, w) -> (B, E, 2h, 2w)."""
        if finer is not None:
            assert self.res_conv_unit1 is not None
            if finer.shape != x.shape:  # a grid of odd sides, halved and doubled
                finer = F.interpolate(finer, size=x.shape[2:], mode="bilinear", align_corners=False)
            x = x + self.res_conv_unit1(finer)
        x = self.res_conv_unit2(x)
        return self.project(_doubled(x))


class DepthConvolutions(nn.Module):
    """Three convolutions to one channel, doubling the resolution after the first."""

    def __init__(self, channels: int) -> None:
        """Lay the parameters out."""
        super().__init__()
        self.head = nn.ModuleDict(
            {
                "0": nn.Conv2d(channels, channels // 2, kernel_size=3, padding=1),
                "2": nn.Conv2d(channels // 2, NECK, kernel_size=3, padding=1),
                "4": nn.Conv2d(NECK, 1, kernel_size=1),
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, E, h, w) -> (B, 1, 2h, 2w)."""
        x = _doubled(self.head["0"](x))
        return self.head["4"](self.head["2"](x).relu())


class DptHead(nn.Module):
    """Decoder of "Vision Transformers for Dense Prediction" (Ranftl et al. 2021), as published."""

    def __init__(self, width: int, *, channels: int) -> None:
        """Lay the parameters out; `width` is D, a multiple of 8, `channels` E."""
        super().__init__()
        steps = [max(1, width // 2 ** (3 - i)) for i in range(4)]
        self.reassemble_blocks = Reassemble(width, channels=steps)
        self.convs = nn.ModuleList(
            Convolution(step, channels, side=3, bias=False) for step in steps
        )
        self.fusion_blocks = nn.ModuleList(Fusion(channels, is_first=i == 0) for i in range(4))
        self.project = Convolution(channels, channels, side=3, bias=True)
        self.conv_depth = DepthConvolutions(channels)

    def forward(self, maps: Sequence[PatchMap]) -> Tensor:
        """Metres (B, H, W), H and W about 16 times the patch grid's, by four maps."""
        levels = self.reassemble_blocks(maps)
        levels = [conv(level) for conv, level in zip(self.convs, levels, strict=True)]
        x = self.fusion_blocks[0](levels[-1])
        for fusion, level in zip(list(self.fusion_blocks)[1:], levels[-2::-1], strict=True):
            x = fusion(x, level)
        x = self.project(x).relu()
        return self.conv_depth(x)[:, 0].relu() + MIN_DEPTH


def _doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)


@torch.no_grad()
def init_weights(head: BinsHead | DptHead, *, generator: torch.Generator) -> None:
    """Draw every weight and bias uniformly within 1 / sqrt(fan in), PyTorch's own rule.

    But the DPT head starts out saying about one metre: with a last bias drawn like the others half
    of all seeds begin below the final ReLU, where nothing is ever learnt.
    """
    for module in head.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            bound = 1 / math.sqrt(module.weight[0].numel())
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.uniform_(-bound, bound, generator=generator)
    if isinstance(head, DptHead):
        nn.init.ones_(head.conv_depth.head["4"].bias)  # type: ignore[arg-type]
