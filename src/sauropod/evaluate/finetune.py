"""Supervised protocols that run the backbone at every step: the probe on random crops, fine-tuning.

`heads`: the paper's linear protocol to the letter, every crop drawn anew, the backbone frozen, all
heads of the grid on one pass of it. `all`: the whole network by DeiT III's recipe, which the paper
takes: AdamW, cosine, label smoothing, RandAugment, mixup and CutMix, stochastic depth.

Shapes: B images per batch, L last blocks, D width, C classes.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sauropod.evaluate.config import Finetune
from sauropod.evaluate.datasets.dataset import TEST, TRAIN, Dataset
from sauropod.evaluate.features import Features, extract
from sauropod.evaluate.linear import INIT_STD, Batch, Head, Read, Recipe, best, fit
from sauropod.evaluate.measured import Measured
from sauropod.evaluate.mixing import mixed, soft_targets
from sauropod.evaluate.random_crops import Crops, crop_batches
from sauropod.evaluate.scores import measured_scores, score
from sauropod.evaluate.subject import global_extractor
from sauropod.models.vit import VisionTransformer
from sauropod.progress import track
from sauropod.train.augment import normalise
from sauropod.train.params import clip_gradients, param_groups, set_hyperparameters
from sauropod.train.schedule import Schedule


def targets_of(labels: Tensor) -> Tensor:
    """Class numbers as they are; of several classes per image a float (B, C)."""
    return (labels > 0).float() if labels.ndim == 2 else labels


def training_batch(
    crop: Crops, *, num_classes: int, step: int, knobs: Finetune, device: str
) -> tuple[Tensor, Tensor]:
    """Normalised and mixed pixels (B, 3, S, S) and float targets (B, C) of a step."""
    labels = targets_of(crop.labels)
    if labels.ndim == 1:
        smoothing = knobs.label_smoothing
        labels = soft_targets(labels, num_classes=num_classes, smoothing=smoothing)
    # Images draw with the low half of the second word; steps with the high half.
    rng = np.random.Generator(np.random.Philox(key=[knobs.seed, (step + 1) << 32]))
    pixels, targets = normalise(crop.pixels.to(device)), labels.to(device)
    return mixed(pixels, targets, rng, mixup=knobs.mixup, cutmix=knobs.cutmix)


def frozen_batches(
    vit: VisionTransformer, crops: Iterator[Crops], *, blocks: int, device: str
) -> Iterator[Batch]:
    """One pass of the frozen backbone per batch of crops."""
    for crop in crops:
        with torch.inference_mode():
            pixels = normalise(crop.pixels.to(device))
            found = vit.get_intermediate_layers(pixels, layers=blocks)
            cls = torch.stack([block.cls_token for block in found], dim=1)
            mean = found[-1].patch_tokens.mean(dim=1)
        yield Batch(cls, mean, targets_of(crop.labels))


class Classifier(nn.Module):
    """A backbone and a linear layer on its CLS token and mean patch token."""

    def __init__(self, vit: VisionTransformer, num_classes: int, *, seed: int) -> None:
        """Put the layer on top: weights normal 0.01, biases zero."""
        super().__init__()
        self.backbone = vit
        self.layer = nn.Linear(2 * vit.embed_dim, num_classes)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            drawn = torch.randn(self.layer.weight.shape, generator=generator)
            self.layer.weight.copy_(INIT_STD * drawn)
            self.layer.bias.zero_()

    def forward(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Normalised pixels (B, 3, S, S) -> class scores (B, C)."""
        found = self.backbone.forward_features([pixels], generator=generator)[0]
        both = torch.cat([found.cls_token, found.patch_tokens.mean(dim=1)], dim=1)
        return self.layer(both)


def train_all(
    classifier: Classifier, crops: Iterator[Crops], *, knobs: Finetune, device: str
) -> None:
    """Train backbone and layer, in place."""
    parts = {"backbone": classifier.backbone, "layer": classifier.layer}
    classifier.backbone.drop_path = knobs.drop_path
    classifier.requires_grad_(requires_grad=True).train()
    groups = param_groups(parts, layerwise_decay=knobs.layerwise_decay)
    optimizer = torch.optim.AdamW(groups)  # type: ignore[arg-type]
    schedule = Schedule(
        base=knobs.lr, final=0.0, total_steps=knobs.steps, warmup_steps=knobs.warmup_steps
    )
    for step, crop in enumerate(track(crops, total=knobs.steps, label="finetune", unit="steps")):
        rate = schedule(step)
        set_hyperparameters(
            optimizer,
            lr=rate,
            backbone_lr=rate,
            last_layer_lr=rate,
            weight_decay=knobs.weight_decay,
        )
        generator = torch.Generator(device=device).manual_seed(knobs.seed + step)
        count = classifier.layer.out_features
        pixels, targets = training_batch(
            crop, num_classes=count, step=step, knobs=knobs, device=device
        )
        scores = classifier(pixels, generator)
        many = crop.labels.ndim == 2
        measured = F.binary_cross_entropy_with_logits if many else F.cross_entropy
        loss = measured(scores, targets)
        optimizer.zero_grad()
        loss.backward()
        clip_gradients(parts, max_norm=knobs.clip_grad)
        optimizer.step()
    classifier.eval()


def _heads(
    vit: VisionTransformer,
    crops: Iterator[Crops],
    *,
    dataset: Dataset,
    knobs: Finetune,
    device: str,
) -> list[Head]:
    if knobs.trained == "all":
        classifier = Classifier(vit, len(dataset.classes), seed=knobs.seed).to(device)
        train_all(classifier, crops, knobs=knobs, device=device)
        weight, bias = (p.detach() for p in (classifier.layer.weight, classifier.layer.bias))
        return [Head(knobs.lr, Read(1, avgpool=True), weight, bias)]
    blocks = tuple(dict.fromkeys(min(n, len(vit.blocks)) for n in knobs.num_blocks))
    recipe = Recipe(knobs.learning_rates, blocks, knobs.steps, knobs.batch_size)
    return fit(
        frozen_batches(vit, crops, blocks=max(blocks), device=device),
        widths=(vit.embed_dim, vit.embed_dim),
        num_classes=len(dataset.classes),
        recipe=recipe,
        seed=knobs.seed,
        device=device,
    )


def measure(
    vit: VisionTransformer,
    *,
    dataset: Dataset,
    knobs: Finetune,
    device: str,
    inference_batch: int,
    num_threads: int,
) -> list[Measured]:
    """Train on random crops of the training split, measure on centre crops of the test split.

    Args:
        vit: Backbone on the device; `all` changes its parameters.
        dataset: Images with labels.
        knobs: What is trained, and how.
        device: Where everything runs.
        inference_batch: Images per forward pass of the test.
        num_threads: Decoder threads.

    Returns:
        `finetune_...` or `linear_...` scores by the dataset's metric, and `unreadable_test`.
    """
    start = time.monotonic()
    crops = crop_batches(
        dataset.splits[TRAIN],
        side=knobs.crop,
        batch_size=knobs.batch_size,
        steps=knobs.steps,
        seed=knobs.seed,
        num_threads=num_threads,
        magnitude=knobs.rand_augment if knobs.trained == "all" else 0.0,
    )
    heads = _heads(vit, crops, dataset=dataset, knobs=knobs, device=device)
    kept = max(head.reads.num_blocks for head in heads)
    extractor = global_extractor(vit, num_blocks=kept, resize=knobs.resize, crop=knobs.crop)
    features: Features = extract(
        extractor,
        split=dataset.splits[TEST],
        batch_size=inference_batch,
        num_threads=num_threads,
        device=device,
        label="features of test",
    )
    labels = torch.from_numpy(dataset.splits[TEST].labels)[features.rows]
    given = [head.scores(features) for head in heads]
    chosen = best([score(one, labels, metric=dataset.metric) for one in given])
    values = measured_scores(given[chosen], labels, metric=dataset.metric)
    if knobs.trained == "heads":
        values["best_learning_rate"] = heads[chosen].learning_rate
        reads = heads[chosen].reads
        values |= {"best_num_blocks": reads.num_blocks, "best_avgpool": float(reads.avgpool)}
    word, seconds = ("finetune" if knobs.trained == "all" else "linear"), time.monotonic() - start
    rows = [Measured(f"{word}_{name}", v, len(labels), seconds) for name, v in values.items()]
    bad = sum(features.unreadable.values())
    return [*rows, Measured("unreadable_test", bad, bad + len(labels), 0.0)]
