"""What pretrain, adapt and distill share around the loop: data, ranks, resuming, saving."""

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from sauropod import io
from sauropod.errors import InputError
from sauropod.models.flops import peak_flops, step_flops
from sauropod.models.head import build_heads
from sauropod.models.vit import VisionTransformer, build_vit
from sauropod.models.weights import (
    load_backbone,
    load_heads,
    resize_pos_embed,
    save_backbone,
    save_heads,
)
from sauropod.train import sharding
from sauropod.train.config import Adapt, Backbone, Distill, Heads, Pretrain, Speed
from sauropod.train.data import Rows, Samples, read_manifest
from sauropod.train.diagnosis import diagnose
from sauropod.train.distillation import Distillation
from sauropod.train.fit import DTYPES, Fitted, Running, fit
from sauropod.train.host_memory import keep_freed_memory
from sauropod.train.multicrop import MultiCrop
from sauropod.train.probe import Probe
from sauropod.train.recipe import schedules
from sauropod.train.self_distillation import SelfDistillation
from sauropod.train.teacher import backbone_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Session:
    """One training stage: where it stands among ranks, what it reads, what it writes."""

    stage: str
    """Name of the stage, the same word as its script."""
    knobs: Pretrain | Adapt | Distill
    speed: Speed
    manifest: Path
    weights: tuple[Path, ...] = ()
    """Weights files the run starts from."""
    probes: tuple[Path, ...] = ()
    """Labelled image folders for the online probe."""
    place: sharding.Ranks = dataclasses.field(default_factory=sharding.ranks)

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        return sharding.pick_device(self.speed.device, self.place)

    @property
    def max_bytes(self) -> int:
        """Scores of prototypes to hold at once."""
        return self.speed.scores_mib << 20

    @cached_property
    def rows(self) -> Rows:
        """The training set; checked on first use."""
        return read_manifest(self.manifest)

    @contextmanager
    def started(self) -> Iterator[None]:
        """Check the training set, then join the other ranks for the time of the block."""
        assert len(self.rows)
        with sharding.joined(self.place, self.device):
            yield

    def fingerprint(self) -> str:
        """16 hex digits of knobs, manifest and weights: what a resumed run must share."""
        inputs = [io.sha256_file(path) for path in (self.manifest, *self.weights)]
        text = json.dumps([self.stage, dataclasses.asdict(self.knobs), inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def train(
        self,
        model: SelfDistillation | Distillation,
        *,
        students: Sequence[Backbone],
        heads: Heads,
        teacher: Backbone | None = None,
        checkpoints: Path,
    ) -> Fitted:
        """Train the model on the manifest; all ranks call it, inside `started`.

        Args:
            model: On the CPU.
            students: Architecture of everything that learns.
            heads: Shape of everybody's heads.
            teacher: Architecture of a frozen teacher, in distillation.
            checkpoints: Folder of checkpoints, one inside per fingerprint.

        Raises:
            Checkpointed: Stopped by a signal, see `fit`.
            InputError: See `MultiCrop` and `fit`.
        """
        knobs, speed, place = self.knobs, self.speed, self.place
        load = MultiCrop(
            Samples(self.rows, seed=knobs.seed, cache=speed.cache),
            crops=knobs.crops,
            objective=knobs.objective,
            patch_size=students[0].patch_size,
            batch_size=knobs.optim.batch_size,
            seed=knobs.seed,
            rank=place.rank,
            world_size=place.world_size,
            num_parts=speed.accumulate,
        )
        device, run, dtype = self.device, self.fingerprint(), DTYPES[knobs.optim.precision]
        if device.type == "cpu":
            keep_freed_memory()
        probe = self._probe(model, device=device, dtype=dtype)
        _prepare(model, speed, device=device, dtype=dtype)
        flops = step_flops(students, heads, knobs.crops, objective=knobs.objective, teacher=teacher)
        return fit(
            model,
            load=load,
            optim=knobs.optim,
            schedules=schedules(knobs.optim, knobs.objective),
            seed=knobs.seed,
            nan_budget=knobs.nan_budget,
            running=Running(
                device=device,
                checkpoints=checkpoints / run,
                checkpoint_every=speed.checkpoint_every,
                keep_checkpoints=speed.keep_checkpoints,
                log_every=speed.log_every,
                num_workers=speed.num_workers,
                probe=probe,
                probe_every=speed.probe_every,
                flops_per_image=flops,
                peak_flops=self._peak_flops(device),
                fingerprint=run,
                label=self.stage,
            ),
        )

    def _probe(
        self,
        model: SelfDistillation | Distillation,
        *,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> Callable[[], dict[str, float]] | None:
        """What measures the results in training; nothing without folders or `probe_every`."""
        if not (self.probes and self.speed.probe_every):
            return None
        probe = Probe(self.probes, crop=self.knobs.crops.global_size)

        return lambda: probe(model.backbones, device=device, dtype=dtype)

    def _peak_flops(self, device: torch.device) -> float | None:
        """FLOP/s of one device, as told or as known."""
        if self.speed.peak_tflops:
            return self.speed.peak_tflops * 1e12
        if device.type != "cuda":
            return None
        return peak_flops(torch.cuda.get_device_name(device), self.knobs.optim.precision)

    def save(
        self,
        result: nn.ModuleDict,
        fitted: Fitted,
        *,
        backbone: tuple[Path, Backbone],
        heads: tuple[Path, Heads],
    ) -> None:
        """Write a result's weights, and a JSON file of facts beside the backbone.

        Every rank calls it; rank 0 writes.

        Args:
            result: The moving average: backbone and heads.
            fitted: What `train` returned.
            backbone: File to write and the architecture.
            heads: File to write and their shape.
        """
        whole = _whole(result, backbone=backbone[1], heads=heads[1])
        if sharding.rank():
            return
        stamp = io.stamp(self.stage, knobs=self.knobs, inputs=[self.manifest, *self.weights])
        facts = self._facts(fitted, backbone=backbone[1], heads=heads[1], stamp=stamp)
        save_heads(heads[0], whole, knobs=heads[1], stamp=stamp)
        io.write_json(facts, backbone[0].with_suffix(".json"))
        save_backbone(backbone[0], backbone_of(whole), knobs=backbone[1], stamp=stamp)

    def save_log(self, fitted: Fitted, path: Path) -> None:
        """Write the training log (Parquet) and say what looks wrong in it; rank 0 does."""
        if sharding.rank():
            return
        fitted.log.save(path)
        for advice in diagnose(fitted.log.rows):
            logger.warning("%s", advice)

    def _facts(
        self, fitted: Fitted, *, backbone: Backbone, heads: Heads, stamp: Mapping[str, str]
    ) -> dict[str, object]:
        return {
            "stage": self.stage,
            "commit": stamp["commit"],
            "knobs": dataclasses.asdict(self.knobs),
            "backbone": dataclasses.asdict(backbone),
            "heads": dataclasses.asdict(heads),
            "steps": self.knobs.optim.steps,
            "steps_skipped": fitted.skipped,
            "images_replaced": fitted.replaced,
            "manifest": str(self.manifest),
            "manifest_sha256": io.sha256_file(self.manifest),
            "weights": {str(path): io.sha256_file(path) for path in self.weights},
        }


def _prepare(
    model: SelfDistillation | Distillation,
    speed: Speed,
    *,
    device: torch.device,
    dtype: torch.dtype | None,
) -> None:
    """Move a model to its device, choose how it runs, and shard it."""
    for module in (model, *model.networks):
        module.to(device)
    for network in model.networks:
        if isinstance(network, VisionTransformer):
            network.run_by(speed.attention, recompute=speed.recompute)
            if speed.compile:
                network.compile_blocks()
    sharding.shard(model.networks, dtype=dtype, parallel=speed.parallel)


def initial(
    knobs: Pretrain, *, backbone: Path | None, heads: Path | None
) -> tuple[VisionTransformer, nn.ModuleDict]:
    """Backbone and heads to start from: those of files where given, else drawn.

    The file's position embeddings are resized to the knobs' grid; nothing else may differ.

    Raises:
        InputError: A file holds something else than the knobs say.
    """
    arch = knobs.backbone
    if backbone is None:
        vit = build_vit(arch, seed=knobs.seed)
    else:
        stored = dataclasses.replace(arch, image_size=load_backbone(backbone)[1].image_size)
        vit, _ = load_backbone(backbone, expect=stored)
        vit, _ = resize_pos_embed(vit, knobs=stored, image_size=arch.image_size)
    if heads is None:
        return vit, build_heads(knobs.heads, embed_dim=vit.embed_dim, seed=knobs.seed)
    return vit, load_heads(heads, expect=knobs.heads)[0]


def students_of(knobs: Distill) -> dict[str, Backbone]:
    """Architecture of every student, by name.

    Raises:
        InputError: Students and dimensions of their own do not go together.
    """
    shared = knobs.backbone
    if len(knobs.students) > 1 and (shared.embed_dim or shared.depth or shared.num_heads):
        knob = "distill.students"
        raise InputError(
            knob,
            expected="one student when backbone.embed_dim, depth or num_heads is given",
            found=f"{len(knobs.students)}",
            fix="drop the dimensions or train the students one by one",
        )
    names = knobs.students or (shared.arch,)
    return {name: dataclasses.replace(shared, arch=name) for name in names}


def check_one_each(
    students: Mapping[str, Backbone], *, out: Sequence[Path], heads: Sequence[Path]
) -> None:
    """Refuse another number of files than students.

    Raises:
        InputError: The numbers differ.
    """
    for flag, paths in (("--out", out), ("--heads", heads)):
        if len(paths) != len(students):
            raise InputError(
                flag,
                expected=f"one file for each of {', '.join(students)}",
                found=str(len(paths)),
                fix="name the files in the order of the students",
            )


def check_same_patches(path: Path, *, teacher: Backbone, student: Backbone) -> None:
    """Refuse to distil between different patch grids: iBOT compares patch with patch.

    Raises:
        InputError: The patch sizes differ.
    """
    if teacher.patch_size != student.patch_size:
        raise InputError(
            path,
            expected=f"a teacher of patch size {student.patch_size}, the student's",
            found=str(teacher.patch_size),
            fix=f"set backbone.patch_size to {teacher.patch_size}",
        )


def _whole(modules: nn.ModuleDict, *, backbone: Backbone, heads: Heads) -> nn.ModuleDict:
    """The modules with full tensors: themselves when alone, else a gathered copy on rank 0."""
    if sharding.world_size() == 1:
        return modules
    state = sharding.gathered(modules)
    if sharding.rank():
        return modules
    vit = build_vit(backbone)
    copy = nn.ModuleDict(
        {"backbone": vit, **dict(build_heads(heads, embed_dim=vit.embed_dim).items())}
    )
    copy.load_state_dict(state)
    return copy
