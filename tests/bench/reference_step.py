"""A training step of facebookresearch/dinov2 wired from its own modules: train_step.py's peer.

Its trainer runs on clusters of CUDA devices only; its modules (backbone, head, losses, optimiser
groups) are imported from a checkout and called in the trainer's order, with its waits for the
device. Two things depend on the machine: with xformers on CUDA the student sees packed crops, as
in the trainer; elsewhere its modules refuse lists, and global and local crops go one after the
other. On CUDA half precision is FSDP's with one rank, as in the trainer; elsewhere autocast.

Shapes: B images, L local crops, N patches of a global crop, D width, K prototypes, M masked
patches, U >= M rows of the padded buffers.
"""

import math
import os
import sys
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel, MixedPrecision, ShardingStrategy
from torch.distributed.fsdp.wrap import ModuleWrapPolicy

import case as cases
from sauropod.models.head import build_heads
from sauropod.models.vit import arch_of, build_vit
from sauropod.train.batch import Batch

NUM_GLOBAL = 2


class ReferenceStep:
    """Student, teacher, losses and optimiser of the reference; call it with a batch to train."""

    def __init__(
        self,
        checkout: Path,
        case: cases.Case,
        arch: str,
        *,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        """Import the reference and give it the weights that ours starts from.

        Args:
            checkout: Folder that holds the package `dinov2`.
            case: What to train.
            arch: Key of models.vit.ARCHS.
            device: Where to train.
            dtype: Half type of forward and backward; None is fp32.
        """
        _make_importable(checkout, device)
        from dinov2.layers.block import XFORMERS_AVAILABLE
        from dinov2.loss import DINOLoss, KoLeoLoss, iBOTPatchLoss
        from dinov2.utils.param_groups import fuse_params_groups, get_params_groups_with_decay

        _world_of_one(device)
        self.case, self.device, self.dtype = case, device, dtype
        self.packed = XFORMERS_AVAILABLE
        self.fsdp = device.type == "cuda" and dtype is not None
        self.student, self.teacher = (self._networks(arch) for _ in range(2))
        self.num_parameters = sum(p.numel() for p in self.student.parameters())
        self.teacher.requires_grad_(requires_grad=False)
        if self.fsdp:
            for networks in (self.student, self.teacher):
                for name, network in networks.items():
                    networks[name] = self._wrapped(network, head=name != "backbone")
        self.student.train()
        self.teacher.eval()
        ibot_head = self.student["ibot_head" if case.untied else "dino_head"]
        self.separate = ibot_head is not self.student["dino_head"]
        self.dino_loss = DINOLoss(case.prototypes).to(device)
        self.ibot_loss = iBOTPatchLoss(case.prototypes).to(device)
        self.koleo_loss = KoLeoLoss()
        groups = []
        for network in self.student.values():
            fused = fuse_params_groups(
                get_params_groups_with_decay(
                    model=network,
                    lr_decay_rate=cases.LAYERWISE_DECAY,
                    patch_embed_lr_mult=cases.PATCH_EMBED_LR,
                )
            )
            groups += [group | {"foreach": True} for group in fused]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999))
        self.totals: dict[str, float] = {}
        self.steps = 0

    def _networks(self, arch: str) -> nn.ModuleDict:
        """Backbone and heads of the reference, with our freshly drawn weights."""
        from dinov2.layers import DINOHead, MemEffAttention
        from dinov2.layers.block import NestedTensorBlock
        from dinov2.models.vision_transformer import DinoVisionTransformer

        case, heads = self.case, self.case.heads
        dims = arch_of(case.backbone(arch))
        backbone = DinoVisionTransformer(
            img_size=case.global_size,
            patch_size=case.patch_size,
            embed_dim=dims.embed_dim,
            depth=dims.depth,
            num_heads=dims.num_heads,
            mlp_ratio=4,
            block_fn=partial(NestedTensorBlock, attn_class=MemEffAttention),
            ffn_layer="swiglufused" if case.ffn == "swiglu" else "mlp",
            init_values=case.backbone(arch).layerscale,
            drop_path_rate=case.drop_path,
            drop_path_uniform=True,
            block_chunks=0,
        )
        backbone.load_state_dict(build_vit(case.backbone(arch)).state_dict())
        networks = nn.ModuleDict({"backbone": backbone})
        for name, ours in build_heads(heads, embed_dim=dims.embed_dim).items():
            bottleneck = heads.bottleneck_dim if name == "dino_head" else heads.ibot_bottleneck_dim
            networks[name] = DINOHead(
                in_dim=dims.embed_dim,
                out_dim=case.prototypes,
                hidden_dim=heads.hidden_dim,
                bottleneck_dim=bottleneck,
                nlayers=heads.num_layers,
            )
            networks[name].load_state_dict(ours.state_dict())
        return networks.to(self.device)

    def _wrapped(self, network: nn.Module, *, head: bool) -> nn.Module:
        """FSDP with the trainer's settings: half parameters, heads reduced in fp32."""
        from dinov2.models.vision_transformer import BlockChunk

        precision = MixedPrecision(
            param_dtype=self.dtype,
            reduce_dtype=torch.float32 if head else self.dtype,
            buffer_dtype=torch.float32,
        )
        return FullyShardedDataParallel(
            network,
            sharding_strategy=ShardingStrategy.SHARD_GRAD_OP,
            mixed_precision=precision,
            device_id=self.device,
            use_orig_params=True,
            auto_wrap_policy=ModuleWrapPolicy({BlockChunk}),
        )

    def __call__(self, batch: Batch) -> None:
        """One step: schedules, forward, losses, backward, clip, AdamW, EMA, reading the losses."""
        for group in self.optimizer.param_groups:
            group["weight_decay"] = cases.WEIGHT_DECAY * group["wd_multiplier"]
            group["lr"] = cases.LR * group["lr_multiplier"]
        self.optimizer.zero_grad(set_to_none=True)
        half = self.dtype is not None and not self.fsdp
        with torch.autocast(self.device.type, dtype=self.dtype) if half else nullcontext():
            losses = self._losses(batch)
            total = torch.stack([loss.float() for loss in losses.values()]).sum()
        total.backward()
        for network in self.student.values():
            if isinstance(network, FullyShardedDataParallel):
                network.clip_grad_norm_(cases.CLIP_GRAD)
            else:
                nn.utils.clip_grad_norm_(network.parameters(), cases.CLIP_GRAD)
        self.optimizer.step()
        self._move_teacher()
        values = {name: loss.item() for name, loss in losses.items()}  # waits, as the trainer does
        assert not math.isnan(sum(values.values()))
        self.steps += 1
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + value

    def _move_teacher(self) -> None:
        with torch.no_grad():
            for name in self.student.keys():  # noqa: SIM118 - a ModuleDict
                ours, theirs = _tensors(self.student[name]), _tensors(self.teacher[name])
                torch._foreach_mul_(theirs, cases.MOMENTUM)
                torch._foreach_add_(theirs, ours, alpha=1 - cases.MOMENTUM)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        """The four losses, weighted."""
        # The reference changes this count in place when it sums it over ranks.
        num_masked = torch.full((1,), len(batch.mask_indices), device=self.device)
        dino_targets, ibot_targets = self._targets(batch, num_masked)
        global_features, local_features = self._features(batch)
        local_cls, global_cls, patches = self._scores(batch, global_features, local_features)
        num_local = self.case.num_local
        pairs = NUM_GLOBAL * (NUM_GLOBAL - 1) + NUM_GLOBAL * num_local
        losses = {}
        if num_local:
            losses["dino_local"] = (
                self.dino_loss(
                    student_output_list=local_cls.chunk(num_local),
                    teacher_out_softmaxed_centered_list=dino_targets,
                )
                / pairs
            )
        losses["dino_global"] = (
            self.dino_loss(
                student_output_list=[global_cls],
                teacher_out_softmaxed_centered_list=[dino_targets.flatten(0, 1)],
            )
            * NUM_GLOBAL
            / pairs
        )
        views = global_features["x_norm_clstoken"].chunk(NUM_GLOBAL)
        losses["koleo"] = 0.1 * sum(self.koleo_loss(view) for view in views)
        losses["ibot"] = self.ibot_loss.forward_masked(
            patches,
            ibot_targets,
            student_masks_flat=batch.masks,
            n_masked_patches=len(batch.mask_indices),
            masks_weight=batch.mask_weights,
        )  # times the two views, over the two views
        return losses

    def _features(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The student's features of masked global crops and of local crops."""
        backbone = self.student["backbone"]
        crops, masks = [batch.global_crops, batch.local_crops], [batch.masks, None]
        if self.packed:
            both = backbone(crops, masks=masks, is_training=True)
            return both[0], both[1]
        return (
            backbone(crops[0], masks=masks[0], is_training=True),
            backbone(crops[1], masks=None, is_training=True),
        )

    def _buffer(self, batch: Batch, patch_tokens: Tensor) -> Tensor:
        """(U, D): masked patches, then zeros up to the most that masks of this size could have."""
        masked = len(batch.masks) // 2
        edges = np.linspace(0.1, 0.5, masked + 1)[1:]
        rows = sum(int(batch.masks.shape[1] * edge) for edge in edges)
        buffer = patch_tokens.new_zeros(rows, patch_tokens.shape[-1])
        found = torch.index_select(patch_tokens.flatten(0, 1), 0, batch.mask_indices)
        buffer[: len(found)].copy_(found)
        return buffer

    def _scores(
        self, batch: Batch, global_features: dict[str, Tensor], local_features: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The student's scores of local and global class tokens and of masked patches."""
        buffer = self._buffer(batch, global_features["x_norm_patchtokens"])
        cls = [local_features["x_norm_clstoken"], global_features["x_norm_clstoken"]]
        rows = [len(tokens) for tokens in cls]
        masked = len(batch.mask_indices)
        if self.separate:
            patches = self.student["ibot_head"](buffer)[:masked]
            local_cls, global_cls = self.student["dino_head"](torch.cat(cls)).split(rows)
            return local_cls, global_cls, patches
        scores = self.student["dino_head"](torch.cat([*cls, buffer]))
        local_cls, global_cls, patches = scores.split([*rows, len(buffer)])
        return local_cls, global_cls, patches[:masked]

    @torch.no_grad()
    def _targets(self, batch: Batch, num_masked: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's targets: (2, B, K) of the other view, (M, K) of masked patches."""
        features = self.teacher["backbone"](batch.global_crops, is_training=True)
        first, second = features["x_norm_clstoken"].chunk(NUM_GLOBAL)
        cls = torch.cat([second, first])  # row i is the target of the other view
        buffer = self._buffer(batch, features["x_norm_patchtokens"])
        masked = len(batch.mask_indices)
        if self.separate:
            cls_scores = self.teacher["dino_head"](cls)
            patch_scores = self.teacher["ibot_head"](buffer)[:masked]
        else:
            scores = self.teacher["dino_head"](torch.cat([cls, buffer]))
            cls_scores, patch_scores = scores[: len(cls)], scores[len(cls) : len(cls) + masked]
        temperature = cases.TEACHER_TEMP
        dino = self.dino_loss.sinkhorn_knopp_teacher(cls_scores, teacher_temp=temperature)
        ibot = self.ibot_loss.sinkhorn_knopp_teacher(
            patch_scores, teacher_temp=temperature, n_masked_patches_tensor=num_masked
        )
        return dino.unflatten(0, (NUM_GLOBAL, -1)), ibot


def _make_importable(checkout: Path, device: torch.device) -> None:
    """Put the checkout on the path; without CUDA xformers has no kernels and must stay out."""
    if not (checkout / "dinov2" / "loss").is_dir():
        message = f"{checkout}: no checkout of facebookresearch/dinov2"
        raise SystemExit(message)
    if device.type != "cuda":
        os.environ["XFORMERS_DISABLED"] = "1"
    warnings.filterwarnings("ignore", message=".*xFormers|.*weight_norm|.*cuda.amp")
    sys.path.insert(0, str(checkout))


def _world_of_one(device: torch.device) -> None:
    """The iBOT loss reduces over ranks even when there is one."""
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)


def _tensors(network: nn.Module) -> list[Tensor]:
    """Parameters; of an FSDP network the flat ones, which is what the trainer averages."""
    wrapped = FullyShardedDataParallel.fsdp_modules(network)
    if not wrapped:
        return list(network.parameters())
    return [handle.flat_param for m in wrapped for handle in m._all_handles]
