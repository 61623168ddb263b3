"""What the training benchmarks train: one model, and batches that are the same for every side.

Shapes: B images, L local crops per image, N patches of a global crop.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from sauropod.models.vit import ARCHS
from sauropod.train.batch import Batch
from sauropod.train.config import Backbone, Crops, Heads, Objective, Optim
from sauropod.train.masking import sample_masks

CLIP_GRAD, LAYERWISE_DECAY, PATCH_EMBED_LR = 3.0, 0.9, 0.2
LR, WEIGHT_DECAY, MOMENTUM, TEACHER_TEMP = 1e-7, 0.04, 0.994, 0.07


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model and its data. Defaults are those of the reference's ssl_default_config, patch 14."""

    patch_size: int = 14
    """Side of a patch, pixels."""
    global_size: int = 224
    """Side of the two global crops, pixels."""
    local_size: int = 98
    """Side of the local crops, pixels."""
    num_local: int = 8
    """Local crops per image."""
    batch_size: int = 4
    """Images per step."""
    ffn: Literal["mlp", "swiglu"] = "mlp"
    """Feed-forward layer."""
    drop_path: float = 0.0
    """Share of samples that skip a residual branch."""
    depth: int = 0
    """Blocks; 0 takes the arch's."""
    prototypes: int = 65_536
    """Prototypes per head."""
    untied: bool = False
    """Give iBOT a head of its own, and DINO's a bottleneck of 384, as for ViT-L and ViT-g."""

    def backbone(self, arch: str) -> Backbone:
        """Knobs of the backbone."""
        return Backbone(
            arch=arch,
            patch_size=self.patch_size,
            image_size=self.global_size,
            ffn=self.ffn,
            drop_path=self.drop_path,
            depth=self.depth or ARCHS[arch].depth,
        )

    @property
    def heads(self) -> Heads:
        """Knobs of the heads."""
        return Heads(
            num_prototypes=self.prototypes,
            bottleneck_dim=384 if self.untied else 256,
            separate_ibot=self.untied,
            ibot_num_prototypes=self.prototypes,
        )

    def crops(self, engine: Literal["pillow", "cv2", "tensor"] = "pillow") -> Crops:
        """Knobs of the crops."""
        return Crops(
            global_size=self.global_size,
            local_size=self.local_size,
            num_local=self.num_local,
            engine=engine,
        )

    @property
    def objective(self) -> Objective:
        """Knobs of the losses, constant over the steps."""
        return Objective(
            teacher_temp=TEACHER_TEMP,
            teacher_temp_warmup_steps=0,
            teacher_momentum=MOMENTUM,
            teacher_momentum_end=MOMENTUM,
        )

    def optim(self, *, steps: int, precision: Literal["fp32", "bf16", "fp16"]) -> Optim:
        """Knobs of the optimiser, constant over the steps."""
        return Optim(
            batch_size=self.batch_size,
            steps=steps,
            lr=LR,
            min_lr=LR,
            warmup_steps=0,
            freeze_last_layer_steps=0,
            weight_decay=WEIGHT_DECAY,
            weight_decay_end=WEIGHT_DECAY,
            clip_grad=CLIP_GRAD,
            layerwise_decay=LAYERWISE_DECAY,
            patch_embed_lr_mult=PATCH_EMBED_LR,
            precision=precision,
        )

    def batch(self, step: int) -> Batch:
        """Crops of noise and masks, the same for every side."""
        generator = torch.Generator().manual_seed(step)
        B, S, s = self.batch_size, self.global_size, self.local_size
        side = S // self.patch_size
        masks = sample_masks(
            (0, step),
            crops=range(2 * B),
            num_crops=2 * B,
            grid=(side, side),
            probability=self.objective.mask_probability,
            ratio=self.objective.mask_ratio,
        )
        return Batch.make(
            global_crops=torch.randn(2 * B, 3, S, S, generator=generator),
            local_crops=torch.randn(self.num_local * B, 3, s, s, generator=generator),
            masks=torch.from_numpy(masks),
            image_ids=torch.arange(B),
        )
