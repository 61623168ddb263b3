"""Monocular depth by heads on a frozen backbone (DINOv2 section 7.4), as METRICS rows.

`linear1` reads the last of four blocks, `linear4` all four, `dpt` too, through a decoder; all are
trained off one forward pass. Metrics of a head: `<head>_<error>` for the errors of `depth_metrics`,
`<transfer>_<head>_<error>` on a second set it was not trained on, and `unusable_train`,
`unusable_test`: images left out. Shapes: B crops, H x W pixels.
"""

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sauropod.evaluate.dense.config import Depth
from sauropod.evaluate.dense.depth_heads import BinsHead, DptHead, init_weights
from sauropod.evaluate.dense.depth_loss import depth_loss
from sauropod.evaluate.dense.depth_metrics import MIN_DEPTH, counted, errors, mean_errors
from sauropod.evaluate.dense.depth_sets import DepthSet, Protocol
from sauropod.evaluate.dense.maps import NO_DEPTH
from sauropod.evaluate.dense.pairs import Pair, Sample, Unusable, batches, loaded
from sauropod.evaluate.dense.patch_maps import Mapper, patch_maps
from sauropod.evaluate.dense.segmentation import check_finite, unusable_rows
from sauropod.evaluate.dense.views import depth_view, image_tensor, resized
from sauropod.evaluate.measured import Measured
from sauropod.images import ImageError
from sauropod.progress import track
from sauropod.train.randomness import Purpose, torch_keyed

WARMUP_START, FINAL_SHARE = 1e-3, 1e-8

Heads = Mapping[str, BinsHead | DptHead]


def cosine_lr(step: int, *, base: float, knobs: Depth) -> float:
    """Learning rate of a step from 0: half a cosine times a linear warm-up (mmcv's rule)."""
    share = FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * step / knobs.steps))
    if step < knobs.warmup_steps:
        share *= 1 - (1 - step / knobs.warmup_steps) * (1 - WARMUP_START)
    return base * share


def build_heads(mapper: Mapper, *, knobs: Depth, max_depth: float, device: str) -> Heads:
    """Draw the heads that the knobs ask for."""
    heads: dict[str, BinsHead | DptHead] = {}
    for counter, name in enumerate(("linear1", "linear4", "dpt")):
        if name not in knobs.heads:
            continue
        if name == "dpt":
            head: BinsHead | DptHead = DptHead(mapper.width, channels=knobs.channels)
        else:
            layers = 1 if name == "linear1" else mapper.num_layers
            bins = knobs.num_bins
            head = BinsHead(mapper.width, num_layers=layers, num_bins=bins, max_depth=max_depth)
        generator = torch_keyed(knobs.seed, purpose=Purpose.WEIGHTS, counter=counter)
        init_weights(head, generator=generator)
        heads[name] = head.to(device)
    return heads


def train_heads(
    mapper: Mapper,
    *,
    dataset: DepthSet,
    knobs: Depth,
    num_threads: int,
    device: str,
    unusable: Unusable,
) -> Heads:
    """Train all heads on the same crops off one forward pass of the frozen backbone.

    Every head has its own AdamW and its own gradient clipping, so that it is what it would be
    alone.

    Args:
        mapper: Four frozen layers, before the final norm.
        dataset: Its training split and protocol.
        knobs: Heads, schedule and seed.
        num_threads: Reading threads; changes speed only.
        device: Where.
        unusable: Receives the training images that were passed over.

    Raises:
        InputError: no image can be used, or a loss is not finite.
    """
    protocol = dataset.protocol
    heads = build_heads(mapper, knobs=knobs, max_depth=protocol.max_depth, device=device)
    optimizers = {
        name: torch.optim.AdamW(head.parameters(), weight_decay=knobs.weight_decay)
        for name, head in heads.items()
    }
    drawn = batches(
        dataset.train,
        view=lambda pair, rng: _view(dataset, pair, rng),
        steps=knobs.steps,
        batch_size=knobs.batch_size,
        seed=knobs.seed,
        num_threads=num_threads,
        unusable=unusable,
    )
    for step, (images, truth) in enumerate(
        track(drawn, total=knobs.steps, label="depth heads", unit="steps")
    ):
        maps = patch_maps(mapper, images.to(device))
        metres = truth.to(device)
        for name, head in heads.items():
            found = _sized(head(maps), metres.shape[1:])
            loss = depth_loss(found, metres, only_mean=step < knobs.loss_warmup_steps)
            base = knobs.dpt_lr if name == "dpt" else knobs.lr
            optimizers[name].param_groups[0]["lr"] = cosine_lr(step, base=base, knobs=knobs)
            optimizers[name].zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), knobs.clip_grad)
            optimizers[name].step()
            if step == knobs.steps - 1:
                check_finite(loss)
    return {name: head.eval() for name, head in heads.items()}


def _view(dataset: DepthSet, pair: Pair, rng: np.random.Generator) -> Sample:
    protocol = dataset.protocol
    image, metres = dataset.read(pair, training=True)
    metres = np.where(metres <= protocol.max_depth, metres, np.float32(0))
    return depth_view(image, metres, crop=protocol.crop, brightness=protocol.brightness, rng=rng)


def _sized(depth: Tensor, size: Sequence[int]) -> Tensor:
    return F.interpolate(depth[:, None], size=tuple(size), mode="bilinear", align_corners=False)[
        :, 0
    ]


@torch.inference_mode()
def predict(
    heads: Heads,
    mapper: Mapper,
    image: np.ndarray,
    *,
    protocol: Protocol,
    flip: bool,
    device: str,
) -> dict[str, np.ndarray]:
    """Depth of an image (H, W, 3) uint8 by every head: metres (H, W) float32.

    Predictions are cut to the protocol's range, resized, and averaged with the mirror image's.
    """
    size = image.shape[:2]
    seen = image_tensor(resized(image, protocol.test_size or size))[None].to(device)
    total: dict[str, Tensor] = {}
    for mirrored in (False, True) if flip else (False,):
        maps = patch_maps(mapper, seen.flip(3) if mirrored else seen)
        for name, head in heads.items():
            found = _sized(head(maps).clamp(MIN_DEPTH, protocol.max_depth), size)[0]
            found = found.flip(1) if mirrored else found
            total[name] = total[name] + found if name in total else found
    count = 2 if flip else 1
    return {name: (found / count).cpu().numpy() for name, found in total.items()}


def measure_heads(
    heads: Heads,
    mapper: Mapper,
    *,
    dataset: DepthSet,
    flip: bool,
    num_threads: int,
    device: str,
    unusable: Unusable,
) -> dict[str, dict[str, float]]:
    """Errors of every head on a test split: head -> error -> mean over images.

    An image none of whose counted pixels was measured is left out.
    """
    protocol = dataset.protocol
    found: dict[str, list[dict[str, float]]] = {name: [] for name in heads}
    usable = loaded(
        dataset.test,
        lambda pair: _test_sample(dataset, pair),
        num_threads=num_threads,
        unusable=unusable,
    )
    label = "depth test"
    for image, truth, inside in track(usable, total=len(dataset.test), label=label, unit="images"):
        predicted = predict(heads, mapper, image, protocol=protocol, flip=flip, device=device)
        for name, metres in predicted.items():
            found[name].append(errors(metres.clip(max=protocol.ceiling)[inside], truth[inside]))
    return {name: mean_errors(per_image) for name, per_image in found.items()}


def _test_sample(dataset: DepthSet, pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, metres and which of them count."""
    protocol = dataset.protocol
    image, metres = dataset.read(pair, training=False)
    metres = metres.clip(max=protocol.ceiling)
    inside = counted(metres, max_depth=protocol.max_depth, area=protocol.area)
    if not inside.any():
        raise ImageError(NO_DEPTH)
    return image, metres, inside


def measure(
    mapper: Mapper,
    *,
    dataset: DepthSet,
    knobs: Depth,
    num_threads: int,
    device: str,
    transfers: Mapping[str, DepthSet] | None = None,
) -> tuple[list[Measured], Heads]:
    """Train every head on the training split; measure it on the test split and on other sets.

    Args:
        mapper: Frozen backbone (four layers before the final norm), or the colour floor.
        dataset: Images, depth maps and protocol.
        knobs: Heads, schedule, flip.
        num_threads: Reading threads; changes speed only.
        device: Where.
        transfers: Sets whose test splits are measured with the same heads, untouched, by the name
            their metrics start with (the paper: SUN RGB-D after NYU).

    Returns:
        Rows, and the heads by their names.

    Raises:
        InputError: a split has no image that can be used.
    """
    start = time.monotonic()
    unusable: dict[str, Unusable] = {"train": {}, "test": {}}
    heads = train_heads(
        mapper,
        dataset=dataset,
        knobs=knobs,
        num_threads=num_threads,
        device=device,
        unusable=unusable["train"],
    )
    rows: list[Measured] = []
    sizes = {"train": len(dataset.train)}
    for prefix, tested in {"": dataset, **(transfers or {})}.items():
        split = f"{prefix}_test" if prefix else "test"
        sizes[split] = len(tested.test)
        found = measure_heads(
            heads,
            mapper,
            dataset=tested,
            flip=knobs.flip,
            num_threads=num_threads,
            device=device,
            unusable=unusable.setdefault(split, {}),
        )
        count, seconds = sizes[split] - len(unusable[split]), time.monotonic() - start
        rows += _rows(found, prefix=prefix, num_samples=count, seconds=seconds)
    splits = {name: (sizes[name], unusable[name]) for name in sizes}
    return rows + unusable_rows(splits), heads


def _rows(
    found: Mapping[str, Mapping[str, float]], *, prefix: str, num_samples: int, seconds: float
) -> list[Measured]:
    return [
        Measured("_".join(filter(None, (prefix, head, name))), value, num_samples, seconds)
        for head, values in found.items()
        for name, value in values.items()
    ]


def constant(dataset: DepthSet, *, heads: Sequence[str], num_threads: int) -> list[Measured]:
    """The floor: every pixel is as deep as the training pixels on average."""
    limit, total, count = dataset.protocol.max_depth, 0.0, 0
    training = loaded(
        dataset.train,
        lambda pair: dataset.read(pair, training=True)[1],
        num_threads=num_threads,
        unusable={},
    )
    for metres in training:
        inside = metres[(metres > MIN_DEPTH) & (metres < limit)].astype(np.float64)
        total, count = total + inside.sum(), count + inside.size
    answer = np.float32(total / max(count, 1)).clip(MIN_DEPTH, limit)
    tests = loaded(
        dataset.test,
        lambda pair: _test_sample(dataset, pair),
        num_threads=num_threads,
        unusable={},
    )
    per_image = [
        errors(np.full_like(truth[inside], answer), truth[inside]) for _, truth, inside in tests
    ]
    found = dict.fromkeys(heads, mean_errors(per_image))
    return _rows(found, prefix="", num_samples=len(per_image), seconds=0.0)
