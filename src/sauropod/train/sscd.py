"""Training of the copy-detection descriptor: what the shared loop needs to know about it.

InfoNCE between two copies of every image, plus the entropy term (Pizzi et al. 2022, section 4).
The optimiser is the loop's AdamW where the paper has LARS.

Shapes: B images of a step, 2 * B copies, S side of a copy, D descriptor width.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch import Tensor, nn

from sauropod import io, schema
from sauropod.config import SscdArch
from sauropod.dedup.descriptors import normalise, resize
from sauropod.errors import InputError
from sauropod.models.sscd import Sscd, create, whiten
from sauropod.train.config import Optim, TrainSscd
from sauropod.train.data import Loaded, Rows, Samples
from sauropod.train.fit import Fitted, Running, fit
from sauropod.train.randomness import Purpose, keyed
from sauropod.train.recipe import Schedules
from sauropod.train.schedule import Schedule
from sauropod.train.sharding import Ranks
from sauropod.train.sscd_augment import copied
from sauropod.train.sscd_loss import entropy_loss, info_nce
from sauropod.train.sscd_mix import mixed

WHITENING_IMAGES = 50_000
WHITENING_BATCH = 64


@dataclass(frozen=True)
class Copies:
    """One step's copies; row 2 * i + c is copy c of image i."""

    pixels: Tensor
    """(2 * B, S, S, 3) uint8."""
    sources: Tensor
    """(2 * B, 2) int64, image_id of the images a copy holds: one twice, or two when mixed."""

    def to(self, device: torch.device | str) -> Self:
        """The same copies on another device."""
        move = {"device": device, "non_blocking": True}
        return type(self)(self.pixels.to(**move), self.sources.to(**move))


class SscdTraining(nn.Module):
    """The network and its two losses, as `fit.Trainable`."""

    def __init__(self, network: Sscd, *, temperature: float, entropy_weight: float) -> None:
        """Keep the network that learns and the losses' knobs."""
        super().__init__()
        self.network = network
        self.temperature = temperature
        self.entropy_weight = entropy_weight

    @property
    def learners(self) -> Mapping[str, nn.Module]:
        """The network."""
        return {"sscd": self.network}

    def teach(self, batches: Sequence[Copies], *, temperature: float) -> Sequence[None]:
        """Nobody teaches: copies of one image are each other's targets."""
        return [None] * len(batches)

    def compute_losses(
        self, batch: Copies, *, targets: None, generator: torch.Generator
    ) -> Iterator[dict[str, Tensor]]:
        """Weighted losses `info_nce` and `entropy` of one step."""
        found = self.network(normalise(batch.pixels))
        match = info_nce(found, sources=batch.sources, temperature=self.temperature)
        spread = entropy_loss(found, sources=batch.sources)
        yield {"info_nce": match, "entropy": self.entropy_weight * spread}

    def update_ema(self, *, momentum: float) -> None:
        """Nothing to average."""

    def meters(self) -> Mapping[str, Tensor]:
        """None."""
        return {}


class CopyPairs:
    """Two keyed copies of every image of a step; a pure function of the step."""

    def __init__(self, samples: Samples, *, knobs: TrainSscd) -> None:
        """Keep the images to draw from and the knobs of the copies."""
        self.samples = samples
        self.knobs = knobs

    def __call__(self, step: int) -> Loaded:
        """Load, copy and stack the images of a step."""
        size, seed = self.knobs.batch_size, self.knobs.seed
        positions = step * size + np.arange(size)
        drawn = self.samples.images(positions)
        copies = [
            copied(
                image,
                keyed(seed, purpose=Purpose.VIEWS, counter=2 * int(position) + c),
                knobs=self.knobs,
            )
            for image, position in zip(drawn.images, positions, strict=True)
            for c in range(2)
        ]
        rng = keyed(seed, purpose=Purpose.MIXING, counter=step)
        pixels, sources = mixed(np.stack(copies), drawn.image_ids.repeat(2), rng, knobs=self.knobs)
        batch = Copies(torch.from_numpy(pixels), torch.from_numpy(sources))
        return Loaded((batch,), num_images=size, replaced=drawn.replaced)


def read_rows(tables: Sequence[Path]) -> Rows:
    """Where the usable images of IMAGES tables are.

    Raises:
        InputError: Not IMAGES tables, or fewer than two images with status ok.
    """
    columns = ["image_id", "tar", "offset", "num_bytes", "status"]
    frame = schema.read(tables, schema.IMAGES, columns=columns).filter(pl.col("status") == "ok")
    if frame.height < 2:
        raise InputError(
            ", ".join(map(str, tables)),
            expected="images to train on",
            found=f"{frame.height} with status ok",
            fix="look at the summaries of the stages before for what dropped them",
        )
    tars = frame["tar"].unique(maintain_order=True).to_list()
    number = pl.col("tar").replace_strict(tars, range(len(tars)), return_dtype=pl.Int32)
    return Rows(
        image_id=frame["image_id"].to_numpy(),
        tars=tuple(Path(tar) for tar in tars),
        tar=frame.select(number).to_series().to_numpy(),
        offset=frame["offset"].to_numpy(),
        num_bytes=frame["num_bytes"].to_numpy(),
    )


def check_alone(place: Ranks) -> None:
    """Refuse several processes: negatives are those of one.

    Raises:
        InputError: There are several.
    """
    if place.world_size > 1:
        flag = "--tasks-per-node"
        raise InputError(
            flag,
            expected="one process, whose images are each other's negatives",
            found=f"{place.world_size} processes",
            fix="launch one",
        )


def fingerprint(tables: Sequence[Path], *, knobs: TrainSscd) -> str:
    """16 hex digits of knobs and inputs: what a resumed run must share."""
    inputs = [io.sha256_file(path) for path in tables]
    text = json.dumps(["train_sscd", dataclasses.asdict(knobs), inputs], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def train(
    rows: Rows, *, knobs: TrainSscd, running: Running, cache: bool = False
) -> tuple[Sscd, Fitted]:
    """Train a descriptor network in one process.

    Args:
        rows: Images to learn from, no labels.
        knobs: What is trained and how.
        running: Device, checkpoints, log.
        cache: Keep decoded images in memory: for small sets only.

    Returns:
        The network in evaluation mode, and the loop's log.

    Raises:
        Checkpointed: Stopped by a signal, see `fit`.
        InputError: See `fit`; a batch of one image has no negatives.
    """
    if knobs.batch_size < 2:
        knob = "train_sscd.batch_size"
        raise InputError(
            knob,
            expected="two images per step at least, the others are the negatives",
            found=str(knobs.batch_size),
            fix="raise it",
        )
    arch = SscdArch(trunk=knobs.arch, width=knobs.width, dim=knobs.dim)
    model = SscdTraining(
        create(arch, seed=knobs.seed),
        temperature=knobs.temperature,
        entropy_weight=knobs.entropy_weight,
    ).to(running.device)
    # Channels last halves the time of small convolutions on a CPU, and suits tensor cores.
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    samples = Samples(rows, seed=knobs.seed, cache=cache)
    fitted = fit(
        model,
        load=CopyPairs(samples, knobs=knobs),
        optim=_optim(knobs),
        schedules=_schedules(knobs),
        seed=knobs.seed,
        running=running,
    )
    network = model.network.eval()
    if knobs.whiten:
        outputs = _outputs(network, samples, knobs=knobs, device=running.device)
        whiten(network, outputs, shrinkage=knobs.shrinkage)
    return network, fitted


@torch.inference_mode()
def _outputs(network: Sscd, samples: Samples, *, knobs: TrainSscd, device: torch.device) -> Tensor:
    """What the projection gives for plain training images: (n, D) on the CPU."""
    found: list[Tensor] = []
    hook = network.fc.register_forward_hook(lambda _module, _x, y: found.append(y.float().cpu()))
    positions = np.arange(min(len(samples.rows), WHITENING_IMAGES))
    for first in range(0, len(positions), WHITENING_BATCH):
        drawn = samples.images(positions[first : first + WHITENING_BATCH])
        plain = [
            resize(Image.fromarray(image), mode="square", resolution=knobs.resolution)
            for image in drawn.images
        ]
        network(normalise(torch.from_numpy(np.stack(plain)).to(device)))
    hook.remove()
    return torch.cat(found)


def _optim(knobs: TrainSscd) -> Optim:
    return Optim(
        batch_size=knobs.batch_size,
        steps=knobs.steps,
        lr=knobs.lr,
        weight_decay=knobs.weight_decay,
        weight_decay_end=knobs.weight_decay,
        clip_grad=knobs.clip_grad,
        precision=knobs.precision,
    )


def _schedules(knobs: TrainSscd) -> Schedules:
    """Linear warm-up and cosine decay of the learning rate; nothing else changes."""
    warmup = min(knobs.warmup_steps, knobs.steps)
    lr = Schedule(base=knobs.lr, final=0.0, total_steps=knobs.steps, warmup_steps=warmup)

    def nothing(_step: int) -> float:
        return 0.0

    def decay(_step: int) -> float:
        return knobs.weight_decay

    return Schedules(
        lr=lr,
        backbone_lr=lr,
        last_layer_lr=lr,
        weight_decay=decay,
        teacher_momentum=nothing,
        teacher_temp=nothing,
    )
