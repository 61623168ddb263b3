"""The training loop, the only one: pretraining, adaptation, distillation and SSCD all run it.

A step: schedules, forward, losses, backward, clip per sub-module, AdamW, EMA. Everything random is
keyed by (seed, step), so a run that was killed and resumed equals one that was not, bit for bit on
the CPU.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sauropod import progress
from sauropod.errors import Checkpointed, InputError
from sauropod.train import checkpoint, sharding
from sauropod.train.config import Optim
from sauropod.train.data import Loaded, batches
from sauropod.train.log import NAME, Log
from sauropod.train.params import clip_gradients, param_groups, set_hyperparameters
from sauropod.train.randomness import Purpose, torch_keyed
from sauropod.train.recipe import Schedules

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Trainable(Protocol):
    """What the loop trains: an nn.Module with these members."""

    student: nn.ModuleDict
    """Sub-modules that learn; the gradient norm of each is clipped by itself."""

    def compute_losses(
        self,
        batch: Any,  # noqa: ANN401 - each trainable has its own
        *,
        teacher_temp: float,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """Weighted losses by name; their sum is minimised."""
        ...

    def update_ema(self, *, momentum: float) -> None:
        """Move the EMA after the optimiser's step; may do nothing."""
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


def adamw(student: nn.ModuleDict, optim: Optim) -> torch.optim.AdamW:
    """AdamW (fused) over the student's groups; betas 0.9 and `optim.beta2`."""
    groups = param_groups(
        student, layerwise_decay=optim.layerwise_decay, patch_embed_lr=optim.patch_embed_lr_mult
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
    optimizer = adamw(model.student, optim)
    dtype = DTYPES[optim.precision]
    scaler = torch.amp.GradScaler(device.type, enabled=optim.precision == "fp16")
    state = checkpoint.State(model=model, optimizer=optimizer, scaler=scaler)
    start, counts = state.resume(folder, fingerprint=running.fingerprint)
    log = Log.resumed(folder, step=start)
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
        for step, (loaded, waited) in enumerate(_timed(steps, optim, running, start), start=start):
            values = schedules.at(step)
            set_hyperparameters(
                optimizer,
                lr=values["lr"],
                weight_decay=values["weight_decay"],
                last_layer_lr=values["last_layer_lr"],
            )
            with torch.autocast(device.type, dtype=dtype, enabled=dtype is not None):
                losses = model.compute_losses(
                    loaded.batch.to(device),
                    teacher_temp=values["teacher_temp"],
                    generator=_generator(seed, step),
                )
                total = torch.stack([loss.float() for loss in losses.values()]).sum()

            # Ranks agree on what happens next. This is the step's one wait for the device.
            bad, asked, replaced = sharding.total(
                [(~total.detach().isfinite()).float(), float(stop.asked), float(loaded.replaced)],
                device=device,
            )
            counts["replaced"] += replaced
            scalars = {f"loss/{name}": loss for name, loss in losses.items()}
            if bad:
                counts["skipped"] += 1
                counts["in_a_row"] += 1
                _check_budget(counts["in_a_row"], nan_budget, step=step, lr=values["lr"])
            else:
                counts["in_a_row"] = 0
                scaler.scale(total).backward()
                scaler.unscale_(optimizer)
                norms = clip_gradients(model.student, max_norm=optim.clip_grad)
                scaler.step(optimizer)
                scaler.update()
                model.update_ema(momentum=values["teacher_momentum"])
                scalars |= {f"grad_norm/{name}": sharding.whole(norms[name]) for name in norms}
            optimizer.zero_grad(set_to_none=True)

            done = step + 1
            images = loaded.num_images * sharding.world_size()
            log.add(scalars | {"loss": total}, num_images=images, waited=waited)
            if done % running.log_every == 0 or done == optim.steps:
                totals = {name: counts[name] for name in ("replaced", "skipped")}
                log.close_row(done, values | totals | _diagnostics(model))
            asked = bool(asked) and done < optim.steps
            if folder and (asked or done % running.checkpoint_every == 0 or done == optim.steps):
                if sharding.rank() == 0:
                    log.save(folder / NAME)
                state.save(folder, step=done, counts=counts, fingerprint=running.fingerprint)
            if asked:
                message = f"stopped by a signal after step {done:,} of {optim.steps:,}; run again"
                raise Checkpointed(message)
    return Fitted(log, skipped=int(counts["skipped"]), replaced=int(counts["replaced"]))


def _timed(
    steps: Iterator[Loaded], optim: Optim, running: Running, start: int
) -> Iterator[tuple[Loaded, float]]:
    """Report progress, and pair every step's data with the seconds waited for it."""

    def waiting() -> Iterator[tuple[Loaded, float]]:
        began = time.monotonic()
        for loaded in steps:
            yield loaded, time.monotonic() - began
            began = time.monotonic()

    total = (optim.steps - start) * optim.batch_size
    return progress.track(
        waiting(), total=total, label=running.label, unit="images", weight=optim.batch_size
    )


def _generator(seed: int, step: int) -> torch.Generator:
    """Randomness of this rank's forward pass."""
    counter = step * sharding.world_size() + sharding.rank()
    return torch_keyed(seed, purpose=Purpose.MODEL, counter=counter)


def _check_budget(in_a_row: float, budget: int, *, step: int, lr: float) -> None:
    if in_a_row > budget:
        knob = "optim.lr"
        raise InputError(
            knob,
            expected=f"a finite loss at step {step}",
            found=f"{int(in_a_row)} steps in a row without one, at learning rate {lr:.2g}",
            fix="lower it, lengthen optim.warmup_steps, or use precision bf16 or fp32",
        )


def _diagnostics(model: Trainable) -> dict[str, float]:
    """Numbers of the last forward pass that the model offers, e.g. its prototypes' entropy."""
    offered = getattr(model, "diagnostics", dict)()
    return {name: float(value) for name, value in offered.items()}
