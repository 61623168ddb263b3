"""The loop: resumes bit for bit, stops on signals, skips what is not finite, logs what it did."""

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
import torch
from torch import Tensor, nn

from sauropod.errors import Checkpointed, InputError
from sauropod.models.head import build_heads
from sauropod.models.vit import build_vit
from sauropod.train import checkpoint, sharding
from sauropod.train.config import Backbone, Crops, Heads, Objective, Optim
from sauropod.train.data import Loaded, Samples, read_manifest
from sauropod.train.fit import Running, fit
from sauropod.train.log import MEASURED
from sauropod.train.multicrop import MultiCrop
from sauropod.train.recipe import schedules
from sauropod.train.self_distillation import SelfDistillation
from sauropod.train.student import make_student

MakeManifest = Callable[..., Path]
CPU = torch.device("cpu")
OPTIM = Optim(
    batch_size=4, steps=10, lr=1e-2, warmup_steps=2, freeze_last_layer_steps=1, precision="fp32"
)
OBJECTIVE = Objective(teacher_temp_warmup_steps=4, teacher_momentum=0.9)


@dataclass(frozen=True)
class Numbers:
    """A batch of the toy below."""

    values: Tensor

    def to(self, device: torch.device) -> "Numbers":
        return Numbers(self.values.to(device))


class Toy(nn.Module):
    """Least squares with an average; the loss of the steps in `broken` is not finite."""

    def __init__(self, broken: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.line = nn.Linear(3, 1)
        self.average = nn.Linear(3, 1)
        self.broken, self.step = broken, 0
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.5)

    @property
    def learners(self) -> dict[str, nn.Module]:
        return {"line": self.line}

    def teach(self, batches: Sequence[Numbers], *, temperature: float) -> list[float]:
        return [temperature] * len(batches)

    def compute_losses(
        self, batch: Numbers, *, targets: float, generator: torch.Generator
    ) -> Iterator[dict[str, Tensor]]:
        noise = torch.rand(1, generator=generator)
        loss = (self.line(batch.values) - noise * targets).square().mean()
        self.step += 1
        yield {"square": loss * (float("nan") if self.step - 1 in self.broken else 1.0)}

    def update_ema(self, *, momentum: float) -> None:
        with torch.no_grad():
            pairs = zip(self.average.parameters(), self.line.parameters(), strict=True)
            for mean, value in pairs:
                mean.lerp_(value, 1 - momentum)

    def meters(self) -> dict[str, Tensor]:
        return {"constant": torch.tensor(3.0)}


def numbers(step: int) -> Loaded:
    generator = torch.Generator().manual_seed(step)
    return Loaded((Numbers(torch.randn(4, 3, generator=generator)),), num_images=4)


def train(model: Toy, **running: object) -> pl.DataFrame:
    fitted = fit(
        model,
        load=numbers,
        optim=OPTIM,
        schedules=schedules(OPTIM, OBJECTIVE),
        seed=0,
        nan_budget=2,
        running=Running(device=CPU, log_every=1, checkpoint_every=3, **running),
    )
    return fitted.log.frame()


def states_equal(one: nn.Module, two: nn.Module) -> bool:
    a, b = one.state_dict(), two.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Interrupting:
    """Sends this process a signal while a step's data is loaded."""

    def __init__(self, load: Callable[[int], Loaded], *, at: int, number: int) -> None:
        self.load, self.at, self.number = load, at, number

    def __call__(self, step: int) -> Loaded:
        if step == self.at:
            os.kill(os.getpid(), self.number)
        return self.load(step)


def tiny(
    manifest: Path, *, drop_path: float = 0.3, group_size: int = 0, num_parts: int = 1
) -> tuple[SelfDistillation, MultiCrop]:
    """A whole self-distillation of a two-block backbone, with stochastic depth."""
    objective = dataclasses.replace(OBJECTIVE, group_size=group_size)
    backbone = Backbone(
        arch="vit_small",
        embed_dim=16,
        depth=2,
        num_heads=2,
        patch_size=4,
        image_size=16,
        ffn="mlp",
        drop_path=drop_path,
    )
    heads = Heads(
        num_prototypes=24,
        bottleneck_dim=8,
        hidden_dim=16,
        ibot_num_prototypes=16,
        ibot_bottleneck_dim=8,
    )
    student = make_student(build_vit(backbone, seed=1), build_heads(heads, embed_dim=16, seed=1))
    model = SelfDistillation(student, objective=objective)
    load = MultiCrop(
        Samples(read_manifest(manifest), seed=0),
        crops=Crops(global_size=16, local_size=8, num_local=2),
        objective=objective,
        patch_size=4,
        batch_size=4,
        seed=0,
        num_parts=num_parts,
    )
    return model, load


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_ten_steps_are_five_a_kill_and_five_more(
    make_manifest: MakeManifest, tmp_path: Path, number: int
) -> None:
    manifest = make_manifest(bad=(2,))

    def run(model: nn.Module, load: Callable[[int], Loaded], folder: Path | None) -> pl.DataFrame:
        return fit(
            model,
            load=load,
            optim=OPTIM,
            schedules=schedules(OPTIM, OBJECTIVE),
            seed=0,
            running=Running(device=CPU, checkpoints=folder, log_every=1, fingerprint="f"),
        ).log.frame()

    whole, load = tiny(manifest)
    log = run(whole, load, None)
    killed, load = tiny(manifest)
    with pytest.raises(Checkpointed, match="after step 5 of 10"):
        run(killed, Interrupting(load, at=4, number=number), tmp_path / "checkpoints")
    assert checkpoint.steps(tmp_path / "checkpoints") == [5]

    resumed, load = tiny(manifest)
    with torch.no_grad():
        for parameter in resumed.parameters():
            parameter.fill_(9.0)
    resumed_log = run(resumed, load, tmp_path / "checkpoints")
    assert states_equal(whole, resumed)
    assert log.drop(MEASURED).equals(resumed_log.drop(MEASURED))
    assert log["replaced"][-1] > 0


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    train(Toy(), checkpoints=tmp_path)
    assert signal.getsignal(signal.SIGTERM) is before


def test_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, again = Toy(), Toy()
    log = train(first, checkpoints=tmp_path)
    assert checkpoint.steps(tmp_path) == [9, 10]
    assert train(again, checkpoints=tmp_path).equals(log)
    assert again.step == 0
    assert states_equal(first, again)


def test_checkpoints_of_another_run_are_refused(tmp_path: Path) -> None:
    train(Toy(), checkpoints=tmp_path, fingerprint="lr 1")
    with pytest.raises(InputError, match=r"the run lr 2, found one of lr 1.*another checkpoint"):
        train(Toy(), checkpoints=tmp_path, fingerprint="lr 2")


def test_workers_change_nothing() -> None:
    alone, helped = Toy(), Toy()
    train(alone)
    train(helped, num_workers=2)
    assert states_equal(alone, helped)


def test_a_killed_worker_loses_no_checkpoint(tmp_path: Path) -> None:
    whole, killed, resumed = Toy(), Toy(), Toy()
    train(whole)
    running = Running(
        device=CPU, checkpoints=tmp_path, checkpoint_every=3, log_every=1, num_workers=1
    )
    with pytest.raises(InputError, match=r"speed\.num_workers: .* killed by signal 9; lower it"):
        fit(
            killed,
            load=Interrupting(numbers, at=7, number=signal.SIGKILL),
            optim=OPTIM,
            schedules=schedules(OPTIM, OBJECTIVE),
            seed=0,
            running=running,
        )
    train(resumed, checkpoints=tmp_path)
    assert resumed.step < 10  # from the checkpoint of step 3 or 6
    assert states_equal(resumed, whole)


def test_step_that_is_not_finite_is_skipped_whole() -> None:
    broken, sound = Toy(broken=(3,)), Toy()
    log = train(broken)
    train(sound)
    assert log["skipped"].to_list() == [0] * 3 + [1] * 7
    assert log["grad_norm/line"].is_null().to_list() == [i == 3 for i in range(10)]
    assert not states_equal(broken, sound)
    assert all(parameter.isfinite().all() for parameter in broken.parameters())


def test_budget_counts_steps_in_a_row() -> None:
    train(Toy(broken=(1, 2, 4, 5, 7, 8)))
    with pytest.raises(InputError, match=r"finite loss at step 3.*3 steps in a row.*lower it"):
        train(Toy(broken=(1, 2, 3)))


def test_log_has_what_a_reader_needs() -> None:
    log = train(Toy())
    expected = {
        "step": list(range(1, 11)),
        "loss": log["loss/square"].to_list(),
        "replaced": [0.0] * 10,
        "constant": [3.0] * 10,
        "lr": [schedules(OPTIM, OBJECTIVE).lr(step) for step in range(10)],
    }
    for name, values in expected.items():
        assert log[name].to_list() == pytest.approx(values), name
    assert (log["images_per_s"] > 0).all()
    assert log["wait_share"].is_between(0, 1).all()


def test_rows_of_the_log_are_means() -> None:
    every = train(Toy())
    fitted = fit(
        Toy(),
        load=numbers,
        optim=OPTIM,
        schedules=schedules(OPTIM, OBJECTIVE),
        seed=0,
        running=Running(device=CPU, log_every=5),
    )
    rows = fitted.log.frame()
    assert rows["step"].to_list() == [5, 10]
    assert rows["loss"].to_list() == pytest.approx(
        [every["loss"][:5].mean(), every["loss"][5:].mean()]
    )


def test_first_steps_by_hand() -> None:
    """One AdamW step moves every weight by lr against the sign of its gradient, then decays."""
    model = Toy()
    optim = dataclasses.replace(OPTIM, steps=1, warmup_steps=0, weight_decay=0.0)
    before = [parameter.clone() for parameter in model.line.parameters()]
    fit(
        model,
        load=numbers,
        optim=optim,
        schedules=schedules(optim, OBJECTIVE),
        seed=0,
        running=Running(device=CPU),
    )
    for old, new in zip(before, model.line.parameters(), strict=True):
        torch.testing.assert_close((new - old).abs(), torch.full_like(old, 1e-2))
    for mean, new in zip(model.average.parameters(), model.line.parameters(), strict=True):
        torch.testing.assert_close(mean, 0.9 * torch.full_like(mean, 0.5) + 0.1 * new)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_runs(precision: str) -> None:
    optim = dataclasses.replace(OPTIM, precision=precision)
    model = Toy()
    log = fit(
        model,
        load=numbers,
        optim=optim,
        schedules=schedules(optim, OBJECTIVE),
        seed=0,
        running=Running(device=CPU, log_every=1),
    ).log.frame()
    reference = train(Toy())
    assert log["loss"].to_list() == pytest.approx(reference["loss"].to_list(), rel=0.2)
    assert sharding.world_size() == 1


def test_accumulated_parts_train_as_one(make_manifest: MakeManifest) -> None:
    """The same losses step after step in one part and in two, with neighbours in groups."""
    manifest = make_manifest()
    logs = []
    for parts in (1, 2):
        model, load = tiny(manifest, drop_path=0.0, group_size=2, num_parts=parts)
        log = fit(
            model,
            load=load,
            optim=dataclasses.replace(OPTIM, steps=3),
            schedules=schedules(OPTIM, OBJECTIVE),
            seed=0,
            running=Running(device=CPU, log_every=1),
        ).log.frame()
        logs.append(log.select(pl.col("^loss.*$")))
    for name in logs[0].columns:
        assert logs[1][name].to_list() == pytest.approx(logs[0][name].to_list(), rel=1e-4), name
