"""Knobs of the dense benchmarks. Imports nothing heavy, because the Snakefile imports it.

Defaults are the published protocol: mmsegmentation 0.27 as DINOv2 used it (section 7.4) for
segmentation, the monocular depth toolbox (Li 2022) for depth.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SegmentationHead:
    """One linear head: what it reads, how it is trained and how it is tested."""

    num_blocks: int = 1
    """Last blocks whose normed patch tokens are concatenated."""
    image_size: tuple[int, int] = (2048, 512)
    """Long and short side that an image is resized to fit in, aspect ratio kept, pixels."""
    train_ratios: tuple[float, float] = (0.5, 2.0)
    """Least and greatest factor on `image_size`, drawn anew for every training image."""
    crop: int = 512
    """Side of training crops and of the sliding window, pixels."""
    stride: int = 341
    """Step of the sliding window, pixels."""
    test_ratios: tuple[float, ...] = (1.0,)
    """Factors on `image_size` whose class probabilities are averaged."""
    test_flip: bool = False
    """Average over the mirrored image too."""


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """Semantic segmentation with linear heads on frozen patch tokens."""

    version: int = 1
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of initialisation, order and augmentation."""
    heads: tuple[Literal["linear", "multiscale"], ...] = ("linear", "multiscale")
    """Which heads to train."""
    linear: SegmentationHead = field(default_factory=SegmentationHead)
    """Last block, one scale."""
    multiscale: SegmentationHead = field(
        default_factory=lambda: SegmentationHead(
            num_blocks=4,
            train_ratios=(1.0, 3.0),
            crop=640,
            stride=320,
            test_ratios=(1.0, 1.32, 1.73, 2.28, 3.0),
            test_flip=True,
        )
    )
    """Four blocks, multi-scale and flip at test time."""
    steps: int = 40_000
    """Training steps."""
    batch_size: int = 16
    """Crops per step."""
    lr: float = 1e-3
    """Learning rate of AdamW, falling linearly to 0."""
    weight_decay: float = 1e-4
    """Weight decay of AdamW."""
    warmup_steps: int = 1500
    """Steps of the linear warm-up from a millionth of the learning rate."""
    floor_patch: int = 14
    """Side of the patches of the colour floor, pixels."""


@dataclass(frozen=True, kw_only=True)
class Depth:
    """Monocular depth with linear or DPT heads on frozen tokens of four blocks."""

    version: int = 1
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of initialisation, order and augmentation."""
    heads: tuple[Literal["linear1", "linear4", "dpt"], ...] = ("linear1", "linear4", "dpt")
    """Which heads to train; all of them off one forward pass of the backbone."""
    num_bins: int = 256
    """Depths that a linear head mixes, evenly spaced."""
    channels: int = 256
    """Width of the DPT head's fusion."""
    steps: int = 38_400
    """Training steps."""
    batch_size: int = 16
    """Crops per step."""
    lr: float = 1e-4
    """Learning rate of the linear heads' AdamW, half a cosine to 0."""
    dpt_lr: float = 1e-4
    """The same of the DPT head, whose last ReLU closes for good when steps are too large."""
    weight_decay: float = 0.01
    """Weight decay of AdamW."""
    warmup_steps: int = 12_800
    """Steps of the linear warm-up from a thousandth of the learning rate."""
    loss_warmup_steps: int = 100
    """Steps during which the loss holds only the mean error, not its variance."""
    clip_grad: float = 35.0
    """Largest norm of a head's gradient."""
    crop_size: tuple[int, int] = (416, 544)
    """Height and width of training crops of a set without a protocol of its own, pixels."""
    scale: float = 1000.0
    """Units per metre in the depth maps of a set without a protocol of its own."""
    max_depth: float = 10.0
    """Greatest depth that counts in a set without a protocol of its own, metres."""
    flip: bool = True
    """Average over the mirrored image at test time."""
    floor_patch: int = 14
    """Side of the patches of the colour floor, pixels."""
