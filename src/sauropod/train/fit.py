"""The training loop, the only one: pretraining, adaptation, distillation and SSCD all run it.

A step: schedules, forward, losses, backward, clip per sub-module, AdamW, EMA. Everything random is
keyed by (seed, step), so a run that was killed and resumed equals one that was not, bit for bit on
the CPU.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sauropod import progress
from sauropod.errors import Checkpointed
from sauropod.train import checkpoint, sharding
from sauropod.train.config import Optim
from sauropod.train.data import Loaded, batches
from sauropod.train.log import NAME, Log
from sauropod.train.params import clip_gradients, param_groups, set_hyperparameters
from sauropod.train.randomness import Purpose, torch_keyed
from sauropod.train.recipe import Schedules
from sauropod.train.tally import Tally

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Trainable(Protocol):
    """What the loop trains: an nn.Module with these members."""

    @property
    def learners(self) -> Mapping[str, nn.Module]:
        """Sub-modules that learn, by name; the gradient norm of each is clipped by itself."""
        ...

    def teach(self, batches: Sequence[Any], *, temperature: float) -> Sequence[Any]:
        """What `compute_losses` takes as targets, for every part of a step."""
        ...

    def compute_losses(
        self,
        batch: Any,  # noqa: ANN401 - each trainable has its own
        *,
        targets: Any,  # noqa: ANN401
        generator: torch.Generator,
    ) -> Iterator[dict[str, Tensor]]:
        """Weighted losses of one part of a step, by name; their sum is minimised.

        Each dictionary goes backward before the next is asked for: only one graph is alive.
        """
        ...

    def update_ema(self, *, momentum: float) -> None:
        """Move the EMA after the optimiser's step; may do nothing."""
        ...

    def meters(self) -> Mapping[str, Tensor]:
        """Numbers of the last step for the log, such as the entropy of the prototypes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Running:
    """How a run is executed: nothing here changes its result."""

    device: torch.device
    checkpoints: Path | None = None
    """Folder of this run's checkpoints; None keeps none and leaves signals alone."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    log_every: int = 10
    """Steps between rows of the log."""
    num_workers: int = 0
    """Processes that decode and augment ahead."""
    keep_checkpoints: int = 2
    """Newest checkpoints to keep."""
    probe: Callable[[], Mapping[str, float]] | None = None
    """Further columns of the log, measured every `probe_every` steps; every rank calls it."""
    probe_every: int = 0
    """Steps between probes; 0 never."""
    flops_per_image: float = 0.0
    """FLOPs of a step per image, for the log's MFU; 0 unknown."""
    peak_flops: float | None = None
    """FLOP/s of one device in the run's precision; None unknown."""
    fingerprint: str = ""
    """What a resumed run must share with the one that wrote the checkpoint."""
    label: str = "train"
    """First word of the progress lines."""


@dataclass(frozen=True)
class Fitted:
    """What a run leaves beside the trained module."""

    log: Log
    skipped: int
    """Steps without an update because the loss was not finite."""
    replaced: int
    """Bad images that were passed over, on all ranks."""


def adamw(learners: Mapping[str, nn.Module], optim: Optim) -> torch.optim.AdamW:
    """AdamW (fused) over what learns; betas 0.9 and `optim.beta2`."""
    groups = param_groups(
        learners, layerwise_decay=optim.layerwise_decay, patch_embed_lr=optim.patch_embed_lr_mult
    )
    return torch.optim.AdamW(groups, lr=optim.lr, betas=(0.9, optim.beta2), fused=True)


def fit(
    model: Trainable,
    *,
    load: Callable[[int], Loaded],
    optim: Optim,
    schedules: Schedules,
    seed: int,
    nan_budget: int = 3,
    running: Running,
) -> Fitted:
    """Train `model` in place until `optim.steps` steps are done, resuming from its checkpoints.

    A step may come in parts (gradient accumulation). The teacher sees all of them first and its
    targets are balanced over them, so the gradient is that of one pass but for what a loss looks
    for among the images of a part (KoLeo's neighbours, unless `group_size` says where) and
    stochastic depth.

    A step whose loss or gradient is not finite changes no weight. Whether it was is asked only
    when a row of the log is closed: nothing in a step waits for the device.

    Args:
        model: On `running.device`, sharded when there are several ranks.
        load: This rank's data of a step; a pure function of the step.
        optim: Optimiser knobs.
        schedules: Values per step.
        seed: Seed of the model's own randomness (stochastic depth).
        nan_budget: Steps in a row that may be skipped because the loss is not finite.
        running: Device, checkpoints, log, workers.

    Raises:
        Checkpointed: SIGTERM or SIGUSR1 came; the step was finished and a checkpoint written.
        InputError: The loss stayed non-finite, or the checkpoints belong to another run.
    """
    assert isinstance(model, nn.Module)
    device, folder = running.device, running.checkpoints
    optimizer = adamw(model.learners, optim)
    dtype = DTYPES[optim.precision]
    scaler = torch.amp.GradScaler(device.type, enabled=optim.precision == "fp16")
    state = checkpoint.State(model=model, optimizer=optimizer, scaler=scaler)
    start, counts = state.resume(folder, fingerprint=running.fingerprint)
    tally = Tally(counts, device=device)
    log = Log.resumed(
        checkpoint.path_of(folder, start) if folder else None,
        step=start,
        device=device,
        flops_per_image=running.flops_per_image,
        peak=running.peak_flops,
    )
    probed: dict[str, float] = {}
    model.train()

    stopping = checkpoint.stopping_on_signals() if folder else nullcontext(checkpoint.Stop())
    with stopping as stop:
        steps = batches(
            load,
            start=start,
            stop=optim.steps,
            num_workers=running.num_workers,
            pin=device.type == "cuda",
        )
        for step, (loaded, waited) in enumerate(
            _timed(steps, optim, running, log, start), start=start
        ):
            values = schedules.at(step)
            set_hyperparameters(
                optimizer,
                lr=values["lr"],
                weight_decay=values["weight_decay"],
                last_layer_lr=values["last_layer_lr"],
                backbone_lr=values["backbone_lr"],
            )
            parts = [part.to(device) for part in loaded.parts]
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                lessons = model.teach(parts, temperature=values["teacher_temp"])
            sums: dict[str, Tensor] = {}
            for i, (part, targets) in enumerate(zip(parts, lessons, strict=True)):
                found = model.compute_losses(
                    part, targets=targets, generator=_generator(seed, step * len(parts) + i)
                )
                with sharding.reducing(model.learners.values(), now=i == len(parts) - 1):
                    for losses in _forward(found, device=device, dtype=dtype):
                        total = torch.stack([loss.float() for loss in losses.values()]).sum()
                        scaler.scale(total / len(parts)).backward()
                        for name, loss in losses.items():
                            sums[name] = sums.get(name, 0) + loss.detach() / len(parts)

            scaler.unscale_(optimizer)
            clipped = clip_gradients(model.learners, max_norm=optim.clip_grad)
            norms = {f"grad_norm/{name}": sharding.whole(norm) for name, norm in clipped.items()}
            loss = torch.stack(list(sums.values())).sum()
            bad = ~loss.isfinite()
            if not scaler.is_enabled():  # a scaler overflows now and then on purpose
                bad |= ~torch.stack(list(norms.values())).sum().isfinite()
            tally.add(sharding.any_rank(bad), replaced=loaded.replaced)
            _update(optimizer, scaler, skip=tally.bad)
            optimizer.zero_grad(set_to_none=True)
            model.update_ema(momentum=values["teacher_momentum"])

            done = step + 1
            closing = done % running.log_every == 0 or done == optim.steps
            scalars = {f"loss/{name}": value for name, value in sums.items()} | {"loss": loss}
            scalars |= norms
            scalars |= model.meters() if closing else {}
            log.add(scalars, num_images=loaded.num_images * sharding.world_size(), waited=waited)
            if running.probe and running.probe_every and done % running.probe_every == 0:
                probed |= running.probe()
            asked = stop.asked and sharding.world_size() == 1
            if closing:
                asked = tally.agree(asked=stop.asked)
                tally.check(nan_budget, step=step, lr=values["lr"])
                log.close_row(done, values | tally.totals() | probed)
                probed.clear()
            asked = asked and done < optim.steps
            if folder and (asked or done % running.checkpoint_every == 0 or done == optim.steps):
                state.save(
                    folder,
                    step=done,
                    counts=tally.counts(),
                    fingerprint=running.fingerprint,
                    keep=running.keep_checkpoints,
                    beside=lambda path: log.save(path / NAME),
                )
            if asked:
                message = f"stopped by a signal after step {done:,} of {optim.steps:,}; run again"
                raise Checkpointed(message)
    totals = tally.totals()
    return Fitted(log, skipped=int(totals["skipped"]), replaced=int(totals["replaced"]))


def _forward(
    passes: Iterator[dict[str, Tensor]], *, device: torch.device, dtype: torch.dtype | None
) -> Iterator[dict[str, Tensor]]:
    """Advance every forward pass under autocast, and only the forward pass."""
    while True:
        with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
            losses = next(passes, None)
        if losses is None:
            return
        yield losses


def _update(optimizer: torch.optim.AdamW, scaler: torch.amp.GradScaler, *, skip: Tensor) -> None:
    """Step the optimiser unless `skip`, a scalar on the device that nobody waits for."""
    if scaler.is_enabled():  # knows by itself, from the gradients
        scaler.step(optimizer)
        scaler.update()
        return
    # What a gradient scaler would set: fused AdamW leaves weights and moments alone.
    vars(optimizer).update(grad_scale=None, found_inf=skip.float())
    optimizer.step()


def _timed(
    steps: Iterator[Loaded], optim: Optim, running: Running, log: Log, start: int
) -> Iterator[tuple[Loaded, float]]:
    """Pair every step's data with the seconds waited for it; rank 0 reports progress."""

    def waiting() -> Iterator[tuple[Loaded, float]]:
        began = time.monotonic()
        for loaded in steps:
            yield loaded, time.monotonic() - began
            began = time.monotonic()

    if sharding.rank():
        return waiting()
    total = (optim.steps - start) * optim.batch_size
    return progress.track(
        waiting(),
        total=total,
        label=running.label,
        unit="images",
        weight=optim.batch_size,
        note=log.line,
    )


def _generator(seed: int, step: int) -> torch.Generator:
    """Randomness of this rank's forward pass."""
    counter = step * sharding.world_size() + sharding.rank()
    return torch_keyed(seed, purpose=Purpose.MODEL, counter=counter)
