"""Who am I among ranks; and any number of ranks trains what one process trains.

One start of three processes does all of the latter: two of them train, sharded or replicated, in
parts or whole; then all three go on from checkpoints that two or one wrote.
"""

import contextlib
import dataclasses
import multiprocessing
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from tests.sauropod.train.conftest import small_files, write_manifest
from torch import Tensor, nn

from sauropod.errors import InputError
from sauropod.models.head import build_heads
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.train import checkpoint, sharding, snapshot, tensor_files
from sauropod.train.batch import Batch
from sauropod.train.config import Backbone, Crops, Heads, Objective, Optim
from sauropod.train.data import Loaded, Samples, read_manifest
from sauropod.train.fit import DTYPES, Running, fit
from sauropod.train.multicrop import MultiCrop
from sauropod.train.recipe import schedules
from sauropod.train.self_distillation import SelfDistillation
from sauropod.train.sharding import Ranks, ranks
from sauropod.train.student import make_student

CPU = torch.device("cpu")
STEPS, HALFWAY, POISONED = 3, 2, 1
OPTIM = Optim(
    batch_size=12,
    steps=STEPS,
    lr=1e-3,
    warmup_steps=1,
    freeze_last_layer_steps=0,
    precision="fp32",
)
OBJECTIVE = Objective(teacher_temp_warmup_steps=2, teacher_momentum=0.9, group_size=2)
BACKBONE = Backbone(
    arch="vit_small",
    embed_dim=32,
    depth=2,
    num_heads=2,
    patch_size=7,
    image_size=28,
    ffn="mlp",
    layerscale=0.5,
    drop_path=0.0,
)
HEADS = Heads(
    num_prototypes=25,  # uneven shares
    bottleneck_dim=8,
    hidden_dim=16,
    ibot_num_prototypes=16,
    ibot_bottleneck_dim=8,
)
CROPS = Crops(global_size=28, local_size=14, num_local=2)
Parallel = Literal["fsdp", "ddp"]
RUNS: list[tuple[Parallel, int]] = [("fsdp", 1), ("fsdp", 3), ("ddp", 3)]  # in so many parts
NAMES = [f"{parallel}{parts}" for parallel, parts in RUNS]
FURTHER: list[tuple[str, Parallel]] = [("fsdp1", "ddp"), ("ddp3", "fsdp"), ("one", "fsdp")]


class TestRanks:
    def test_alone(self) -> None:
        assert ranks({}) == Ranks(rank=0, world_size=1, local_rank=0)

    def test_torchrun(self) -> None:
        environment = {
            "RANK": "5",
            "WORLD_SIZE": "8",
            "LOCAL_RANK": "1",
            "MASTER_ADDR": "gpu3",
            "MASTER_PORT": "1234",
            "TORCHELASTIC_RESTART_COUNT": "2",
            "SLURM_STEP_NUM_TASKS": "2",
        }
        assert ranks(environment) == Ranks(5, 8, 1, "gpu3", 1234, attempt=2)

    @pytest.mark.parametrize(
        ("nodes", "first"),
        [
            ("gpu7", "gpu7"),
            ("gpu[07-09,12],cpu1", "gpu07"),
            ("cpu1,gpu[07-09]", "cpu1"),
            ("rack2-gpu[3,5]", "rack2-gpu3"),
        ],
    )
    def test_slurm_step(self, nodes: str, first: str) -> None:
        environment = {
            "SLURM_JOB_ID": "123456",
            "SLURM_PROCID": "9",
            "SLURM_LOCALID": "1",
            "SLURM_STEP_NUM_TASKS": "16",
            "SLURM_STEP_NODELIST": nodes,
        }
        assert ranks(environment) == Ranks(9, 16, 1, first, 20000 + 123456 % 20000)

    def test_task_of_submitit_on_this_machine(self) -> None:
        environment = {
            "SUBMITIT_LOCAL_JOB_ID": "123456",
            "SUBMITIT_LOCAL_GLOBALID": "1",
            "SUBMITIT_LOCAL_LOCALID": "1",
            "SUBMITIT_LOCAL_NTASKS": "2",
        }
        port = 20000 + 123456 % 20000
        assert ranks(environment) == Ranks(1, 2, 1, "127.0.0.1", port)
        assert ranks(environment | {"SUBMITIT_LOCAL_NTASKS": "1"}) == Ranks()

    def test_slurm_batch_script_is_alone(self) -> None:
        assert ranks({"SLURM_JOB_ID": "1", "SLURM_NTASKS": "16", "SLURM_PROCID": "0"}) == Ranks()


@pytest.mark.parametrize(("visible", "expected"), [(8, 3), (1, 0)])
def test_every_rank_has_its_own_gpu(
    visible: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all that a node has, or the only one that Slurm shows it."""
    chosen: list[int] = []
    monkeypatch.setattr("torch.cuda.device_count", lambda: visible)
    monkeypatch.setattr("torch.cuda.set_device", chosen.append)
    place = Ranks(rank=3, world_size=8, local_rank=3)
    assert sharding.pick_device("cuda", place) == torch.device("cuda", expected)
    assert chosen == [expected]


def test_alone_nothing_is_sharded() -> None:
    network = nn.Linear(2, 2)
    sharding.shard([network], dtype=None)
    assert type(network.weight) is nn.Parameter
    assert sharding.total([1.0, torch.tensor(2.0)], device=torch.device("cpu")) == [1.0, 2.0]
    assert (sharding.rank(), sharding.world_size(), sharding.group()) == (0, 1, None)


@dataclasses.dataclass(frozen=True)
class Poison:
    """A batch whose last local crop is not finite: it lies on the last rank."""

    batch: Batch

    def to(self, device: torch.device) -> Batch:
        batch = self.batch.to(device)
        batch.local_crops[-1] = float("nan")
        return batch


def train(
    folder: Path,
    *,
    parallel: Parallel = "fsdp",
    parts: int = 1,
    optim: Optim = OPTIM,
) -> pl.DataFrame:
    """Train in this process, one of however many ranks; checkpoints go into `folder`."""
    vit = build_vit(BACKBONE, seed=1)
    student = make_student(vit, build_heads(HEADS, embed_dim=vit.embed_dim, seed=1))
    model = SelfDistillation(
        student, objective=OBJECTIVE, group=sharding.group(), max_bytes=4 * 25 * 5
    )
    vits = [network for network in model.networks if isinstance(network, VisionTransformer)]
    for network in vits:
        network.run_by("sdpa", recompute=parts > 1)
    sharding.shard(model.networks, dtype=DTYPES[optim.precision], parallel=parallel)
    crops = MultiCrop(
        Samples(read_manifest(folder.parent / "manifest.parquet"), seed=0),
        crops=CROPS,
        objective=OBJECTIVE,
        patch_size=BACKBONE.patch_size,
        batch_size=OPTIM.batch_size,
        seed=0,
        rank=sharding.rank(),
        world_size=sharding.world_size(),
        num_parts=parts,
    )

    def load(step: int) -> Loaded:
        loaded = crops(step)
        if step == POISONED and sharding.rank() == sharding.world_size() - 1:
            return loaded._replace(parts=tuple(Poison(part) for part in loaded.parts))
        return loaded

    running = Running(
        device=CPU,
        checkpoints=folder,
        checkpoint_every=1,
        keep_checkpoints=STEPS,
        log_every=1,
    )
    return fit(
        model,
        load=load,
        optim=optim,
        schedules=schedules(optim, OBJECTIVE),
        seed=0,
        running=running,
    ).log.frame()


def halfway(source: Path, to: Path) -> Path:
    """A folder with nothing but the checkpoint in the middle of a run."""
    path = checkpoint.path_of(source, HALFWAY)
    shutil.copytree(path, checkpoint.path_of(to, HALFWAY))
    return to


def together(folder: Path, *, rank: int, world_size: int, work: Callable[[], None]) -> None:
    store = dist.FileStore(str(folder / f"store{world_size}"), world_size)
    patience = timedelta(seconds=60)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=patience)
    try:
        work()
    finally:
        dist.destroy_process_group()


def check_reducing(parallel: Parallel) -> None:
    """Gradients stay at home until the last part; then the overflow of one rank is everybody's."""
    network = nn.Linear(4, 4)
    sharding.shard([network], dtype=None, parallel=parallel)
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=1.0)

    def grow(x: Tensor, *, now: bool) -> Tensor:
        with sharding.reducing([network], now=now):
            scaler.scale(network(x)[:, -1].sum()).backward()
        assert network.weight.grad is not None
        return sharding.whole(network.weight.grad)[-1] if now else network.weight.grad[-1]

    mine = torch.full((1, 4), 1.0 + sharding.rank())
    assert torch.equal(grow(mine, now=False), mine[0])
    assert grow(mine, now=True).tolist() == [3.0] * 4
    optimizer.zero_grad(set_to_none=True)
    with sharding.reducing([network], now=True):
        pass  # no loss asks it anything: there is nothing to reduce
    if sharding.rank():
        mine[0, 0] = float("inf")
    grow(mine, now=True)
    scaler.unscale_(optimizer)
    assert [found.item() for found in scaler._found_inf_per_device(optimizer).values()] == [1.0]


def check_saving(folder: Path) -> None:
    """Of two ranks: a look at a network disturbs no checkpoint, a full disk of one stops both."""
    network = nn.Linear(4, 4)
    sharding.shard([network], dtype=None)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    state = checkpoint.State(
        model=network, optimizer=optimizer, scaler=torch.amp.GradScaler("cpu", enabled=False)
    )

    def save(step: int) -> None:
        state.save(folder, step=step, counts={}, fingerprint="f")

    with torch.no_grad():
        network(torch.ones(1, 4))  # leaves its parameters gathered
    save(1)
    saved = tensor_files.outlines(checkpoint.path_of(folder, 1))
    assert saved["optimizer.weight.exp_avg"].shape == saved["model.weight"].shape == (4, 4)
    refusing = small_files() if sharding.rank() else contextlib.nullcontext()
    with refusing, pytest.raises(InputError, match="File too large"):
        save(2)
    dist.barrier()
    assert [path.name for path in folder.iterdir()] == ["step-000000001"]
    assert state.resume(folder, fingerprint="f")[0] == 1


def rank_of_three(rank: int, folder: Path) -> None:
    """One of the three processes."""
    torch.set_num_threads(1)

    def two() -> None:
        for parallel, parts in RUNS:
            log = train(folder / f"{parallel}{parts}", parallel=parallel, parts=parts)
            log.write_parquet(folder / f"{parallel}{parts}-{rank}.parquet")
        check_reducing("fsdp")
        check_reducing("ddp")
        check_saving(folder / "saving")
        fp16 = dataclasses.replace(OPTIM, precision="fp16")
        train(folder / "fp16", optim=fp16)

    def three() -> None:
        for source, parallel in FURTHER:
            train(folder / f"{source}-three-{parallel}", parallel=parallel)

    if rank < 2:
        together(folder, rank=rank, world_size=2, work=two)
    if rank == 0:
        for source, parallel in FURTHER:
            halfway(folder / source, folder / f"{source}-three-{parallel}")
    together(folder, rank=rank, world_size=3, work=three)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all of them trained."""
    folder = tmp_path_factory.mktemp("ranks")
    write_manifest(folder, count=24, bad=(3,))
    train(folder / "one").write_parquet(folder / "one-0.parquet")
    multiprocessing.set_forkserver_preload(["polars", "cv2", "torch._dynamo"])  # imported once
    mp.start_processes(rank_of_three, args=(folder,), nprocs=3, start_method="forkserver")
    return folder


def tensors(folder: Path, step: int) -> dict[str, Tensor]:
    """All of a checkpoint, model and moments."""
    path = checkpoint.path_of(folder, step)
    outlines = tensor_files.outlines(path)
    found = {name: torch.empty_like(value, device="cpu") for name, value in outlines.items()}
    tensor_files.read_into(found, path)
    return found


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], **limits: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        ours = found[name]
        if "qkv.bias" in name and value.ndim:
            # The gradient of K's bias is nothing but rounding, which Adam blows up.
            ours, value = (x.unflatten(0, (3, -1))[::2] for x in (ours, value))
        torch.testing.assert_close(ours, value, **limits, msg=lambda text: f"{name}: {text}")  # noqa: B023


@pytest.mark.parametrize("run", NAMES)
def test_losses_and_gradients_of_two_ranks_are_those_of_one(trained: Path, run: str) -> None:
    names = ("one-0", f"{run}-0", f"{run}-1")
    one, *ranks = (pl.read_parquet(trained / f"{name}.parquet") for name in names)
    assert one["skipped"].to_list() == [0, 1, 1]
    one, *ranks = (log.filter(pl.col("step") != POISONED + 1) for log in (one, *ranks))
    for name in one.columns:
        if name.startswith("loss"):
            for log in ranks:
                assert log[name].to_list() == pytest.approx(one[name].to_list(), rel=1e-5), name
        if name.startswith("grad_norm") or name in {"skipped", "replaced"}:
            for log in ranks:
                assert log[name].to_list() == pytest.approx(one[name].to_list(), rel=1e-4), name

    # A tenth of the first step's gradient is its first moment.
    found, expected = (
        {k: v for k, v in tensors(trained / name, 1).items() if k.endswith("exp_avg")}
        for name in (run, "one")
    )
    assert_same(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("run", NAMES)
def test_checkpoints_of_two_ranks_are_those_of_one(trained: Path, run: str) -> None:
    expected = tensors(trained / "one", STEPS)
    assert_same(tensors(trained / run, STEPS), expected, rtol=1e-4, atol=2e-5)
    files = snapshot.verified(checkpoint.path_of(trained / run, STEPS), otherwise="")["files"]
    assert len([name for name in files if name.endswith(".safetensors")]) == 2
    model = checkpoint.consolidated(checkpoint.path_of(trained / run, STEPS))
    assert all(torch.equal(value, model[name]) for name, value in model.items())


@pytest.mark.parametrize("run", [f"{source}-three-{parallel}" for source, parallel in FURTHER])
def test_three_ranks_go_on_from_two_or_one(trained: Path, run: str) -> None:
    assert checkpoint.steps(trained / run) == [2, 3]
    expected = tensors(trained / "one", STEPS)
    assert_same(tensors(trained / run, STEPS), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("run", ["fsdp1", "ddp3", "one-three-fsdp"])
def test_one_process_goes_on_from_many(trained: Path, run: str, tmp_path: Path) -> None:
    del tmp_path
    folder = halfway(trained / run, trained / f"{run}-alone")
    train(folder)
    expected = tensors(trained / "one", STEPS)
    assert_same(tensors(folder, STEPS), expected, rtol=1e-4, atol=2e-5)


def test_half_precision_trains_nearly_the_same(trained: Path) -> None:
    found, expected = tensors(trained / "fp16", STEPS), tensors(trained / "one", STEPS)
    for name, value in expected.items():
        if name.startswith("model.teacher"):
            assert found[name].dtype == value.dtype == torch.float32
            torch.testing.assert_close(found[name], value, rtol=0, atol=5e-3)
