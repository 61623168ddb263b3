"""Semantic segmentation by linear heads on a frozen backbone (DINOv2 section 7.4), as METRICS rows.

`linear` reads the last block at one scale; `multiscale` (the paper's "+ms") reads four blocks and
averages several scales and mirror images. ViT-Adapter with Mask2Former is not built: it trains 28
hours on 16 GPUs through deformable-attention kernels of its own; `src/export.py` writes the layouts
its public code loads.

Metrics of a head: `<head>_miou`, `<head>_mean_accuracy`, `<head>_pixel_accuracy` (shares, 0..1);
`unusable_train`, `unusable_val`: images left out. Shapes: B crops, C classes, D width, h x w
patches, H x W pixels, L layers.
"""

import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sauropod.errors import InputError
from sauropod.evaluate.dense.config import Segmentation, SegmentationHead
from sauropod.evaluate.dense.miou import IGNORED, Agreement, agreement, confusion
from sauropod.evaluate.dense.pairs import Pair, Sample, Unusable, batches, loaded
from sauropod.evaluate.dense.patch_maps import Mapper, PatchMap, patch_maps
from sauropod.evaluate.dense.segmentation_sets import SegmentationSet
from sauropod.evaluate.dense.views import segmentation_view
from sauropod.evaluate.dense.windows import probabilities
from sauropod.evaluate.measured import Measured
from sauropod.progress import track
from sauropod.train.randomness import Purpose, torch_keyed

INIT_STD = 0.01
WARMUP_START = 1e-6

MapperOf = Callable[[int], Mapper]
"""Number of last blocks -> what reads them, after the final norm."""


class LinearHead(nn.Module):
    """Batch norm and a 1x1 convolution over the concatenated patch tokens of L blocks."""

    def __init__(self, width: int, *, num_classes: int, generator: torch.Generator) -> None:
        """Draw the weights, N(0, 0.01); `width` is L x D."""
        super().__init__()
        self.bn = nn.BatchNorm2d(width)
        self.conv_seg = nn.Conv2d(width, num_classes, kernel_size=1)
        with torch.no_grad():
            self.conv_seg.weight.normal_(std=INIT_STD, generator=generator)
            nn.init.zeros_(self.conv_seg.bias)  # type: ignore[arg-type]

    def forward(self, maps: Sequence[PatchMap]) -> Tensor:
        """Class scores (B, C, h, w)."""
        return self.conv_seg(self.bn(torch.cat([one.patches for one in maps], dim=1)))


def recipe_of(head: Literal["linear", "multiscale"], *, knobs: Segmentation) -> SegmentationHead:
    """The knobs of one head."""
    return knobs.linear if head == "linear" else knobs.multiscale


def poly_lr(step: int, *, knobs: Segmentation) -> float:
    """Learning rate of a step from 0: linearly to 0, times a linear warm-up (mmcv's `poly`)."""
    rate = knobs.lr * (1 - step / knobs.steps)
    if step < knobs.warmup_steps:
        rate *= 1 - (1 - step / knobs.warmup_steps) * (1 - WARMUP_START)
    return rate


def cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """Mean over all pixels, ignored ones counting as 0, as mmsegmentation 0.27 averages.

    Args:
        scores: (B, C, h, w), resized here to the labels' size.
        labels: (B, H, W) class numbers or `IGNORED`.
    """
    sized = F.interpolate(scores, size=labels.shape[1:], mode="bilinear", align_corners=False)
    summed = F.cross_entropy(sized, labels, ignore_index=IGNORED, reduction="sum")
    return summed / labels.numel()


def train_head(
    mapper: Mapper,
    *,
    dataset: SegmentationSet,
    recipe: SegmentationHead,
    knobs: Segmentation,
    num_threads: int,
    device: str,
    unusable: Unusable,
    label: str,
) -> LinearHead:
    """Train one linear head off the frozen backbone: AdamW on random crops.

    Args:
        mapper: Frozen layers.
        dataset: Its training split.
        recipe: Crops of this head.
        knobs: Schedule and seed.
        num_threads: Reading threads; changes speed only.
        device: Where.
        unusable: Receives the training images that were passed over.
        label: Word for the progress line.

    Returns:
        The head in evaluation mode.

    Raises:
        InputError: no image can be used, or the loss is not finite.
    """
    generator = torch_keyed(knobs.seed, purpose=Purpose.WEIGHTS, counter=0)
    width = mapper.num_layers * mapper.width
    head = LinearHead(width, num_classes=len(dataset.classes), generator=generator).to(device)
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=knobs.weight_decay)

    def view(pair: Pair, rng: np.random.Generator) -> Sample:
        return segmentation_view(
            *dataset.read(pair),
            image_size=recipe.image_size,
            ratios=recipe.train_ratios,
            crop=recipe.crop,
            rng=rng,
        )

    drawn = batches(
        dataset.train,
        view=view,
        steps=knobs.steps,
        batch_size=knobs.batch_size,
        seed=knobs.seed,
        num_threads=num_threads,
        unusable=unusable,
    )
    loss = torch.zeros(())
    for step, (images, labels) in enumerate(
        track(drawn, total=knobs.steps, label=label, unit="steps")
    ):
        scores = head(patch_maps(mapper, images.to(device)))
        loss = cross_entropy(scores, labels.to(device))
        optimizer.param_groups[0]["lr"] = poly_lr(step, knobs=knobs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    check_finite(loss)
    return head.eval()


def check_finite(loss: Tensor) -> None:
    """Refuse a head whose last loss is not finite.

    Raises:
        InputError: it is not.
    """
    if not loss.isfinite():
        flag = "--backbone"
        raise InputError(
            flag,
            expected="features that a head can be trained on",
            found="a loss that is not finite",
            fix="check the weights, or lower the learning rate",
        )


def predict(
    head: LinearHead,
    mapper: Mapper,
    image: np.ndarray,
    *,
    recipe: SegmentationHead,
    batch_size: int,
    device: str,
) -> np.ndarray:
    """Segment an image (H, W, 3) uint8: class numbers (H, W) int64.

    Args:
        head: Trained head, in evaluation mode.
        mapper: The layers it was trained on.
        image: RGB.
        recipe: Window, scales and flip.
        batch_size: Windows per forward pass; changes speed only.
        device: Where.
    """

    def score(crops: Tensor) -> Tensor:
        scores = head(patch_maps(mapper, crops))
        return F.interpolate(scores, size=crops.shape[2:], mode="bilinear", align_corners=False)

    found = probabilities(
        score,
        image,
        image_size=recipe.image_size,
        ratios=recipe.test_ratios,
        flip=recipe.test_flip,
        window=recipe.crop,
        stride=recipe.stride,
        batch_size=batch_size,
        device=device,
    )
    return found.argmax(dim=0).cpu().numpy()


def measure(
    mapper_of: MapperOf,
    *,
    dataset: SegmentationSet,
    knobs: Segmentation,
    batch_size: int,
    num_threads: int,
    device: str,
) -> tuple[list[Measured], dict[str, LinearHead]]:
    """Train every head on the training split and measure it on the validation split.

    Args:
        mapper_of: Frozen backbone, or the colour floor.
        dataset: Images and label maps.
        knobs: Heads, schedule, scales.
        batch_size: Windows per forward pass at test time; changes speed only.
        num_threads: Reading threads; changes speed only.
        device: Where.

    Returns:
        Rows, and the heads by their names.

    Raises:
        InputError: a split has no image that can be used; too few blocks.
    """
    rows: list[Measured] = []
    heads: dict[str, LinearHead] = {}
    train_unusable: Unusable = {}
    val_unusable: Unusable = {}
    for name in knobs.heads:
        start = time.monotonic()
        recipe = recipe_of(name, knobs=knobs)
        mapper = mapper_of(recipe.num_blocks)
        head = heads[name] = train_head(
            mapper,
            dataset=dataset,
            recipe=recipe,
            knobs=knobs,
            num_threads=num_threads,
            device=device,
            unusable=train_unusable,
            label=f"segmentation, {name}",
        )
        matrix = np.zeros((len(dataset.classes),) * 2, dtype=np.int64)
        usable = loaded(dataset.val, dataset.read, num_threads=num_threads, unusable=val_unusable)
        total = len(dataset.val)
        for image, labels in track(usable, total=total, label=f"{name}, test", unit="images"):
            found = predict(
                head, mapper, image, recipe=recipe, batch_size=batch_size, device=device
            )
            matrix += confusion(found, labels, num_classes=len(dataset.classes))
        count = total - len(val_unusable)
        seconds = time.monotonic() - start
        rows += agreement_rows(agreement(matrix), head=name, num_samples=count, seconds=seconds)
    splits = {
        "train": (len(dataset.train), train_unusable),
        "val": (len(dataset.val), val_unusable),
    }
    return rows + unusable_rows(splits), heads


def agreement_rows(
    found: Agreement, *, head: str, num_samples: int, seconds: float
) -> list[Measured]:
    """Metrics of one head."""
    values = {
        "miou": found.miou,
        "mean_accuracy": found.mean_accuracy,
        "pixel_accuracy": found.pixel_accuracy,
    }
    return [
        Measured(f"{head}_{name}", value, num_samples, seconds) for name, value in values.items()
    ]


def unusable_rows(splits: dict[str, tuple[int, Unusable]]) -> list[Measured]:
    """One row per split: how many of its images were left out."""
    return [
        Measured(f"unusable_{name}", float(len(unusable)), total, 0.0)
        for name, (total, unusable) in splits.items()
    ]


def constant(dataset: SegmentationSet, *, heads: Sequence[str], num_threads: int) -> list[Measured]:
    """The floor: every pixel is of the class that most training pixels are of."""
    num_classes = len(dataset.classes)
    counts = []
    for split in (dataset.train, dataset.val):
        usable = loaded(split, dataset.read, num_threads=num_threads, unusable={})
        counts.append(
            [np.bincount(labels[labels != IGNORED], minlength=num_classes) for _, labels in usable]
        )
    answer = int(np.sum(counts[0], axis=0).argmax())
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    matrix[:, answer] = np.sum(counts[1], axis=0)
    found = agreement(matrix)
    return [
        row
        for head in heads
        for row in agreement_rows(found, head=head, num_samples=len(counts[1]), seconds=0.0)
    ]
