"""Every knob of the training stages: pretrain, adapt, distill (and the bootstrap embedder).

Counts are optimiser steps, never "epochs" of 1250 iterations. Defaults are the paper's ViT-g
(Tables 16 and 17) completed by the released configuration where the paper is silent.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A vision transformer."""

    arch: str = "vit_giant"
    """Width, depth and heads: a key of models.vit.ARCHS."""
    patch_size: int = 14
    """Side of a patch, pixels."""
    image_size: int = 224
    """Side of the image whose patch grid the position embedding stores, pixels."""
    ffn: Literal["mlp", "swiglu"] = "swiglu"
    """Feed-forward layer."""
    num_registers: int = 0
    """Register tokens."""
    layerscale: float = 1e-5
    """Initial LayerScale."""
    drop_path: float = 0.4
    """Share of samples that skip a residual branch."""
    drop_path_ramp: bool = False
    """Grow that share from 0 at the first block to its full value at the last, as DINO and iBOT."""
    interpolate_offset: float = 0.1
    """Offset of the position embedding's interpolation (0.1: released models without registers)."""
    interpolate_antialias: bool = False
    """Antialias that interpolation (True: released models with registers)."""
    embed_dim: int = 0
    """Width; 0 takes the arch's."""
    depth: int = 0
    """Blocks; 0 takes the arch's."""
    num_heads: int = 0
    """Attention heads; 0 takes the arch's."""


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The projection heads of DINO and iBOT."""

    num_prototypes: int = 131_072
    """Prototypes of the DINO head."""
    bottleneck_dim: int = 384
    """Width before the prototypes, DINO head."""
    hidden_dim: int = 2048
    """Width of the hidden layers."""
    num_layers: int = 3
    """Layers of the MLP."""
    separate_ibot: bool = True
    """Give iBOT a head of its own."""
    ibot_num_prototypes: int = 131_072
    """Prototypes of the iBOT head."""
    ibot_bottleneck_dim: int = 256
    """Width before the prototypes, iBOT head."""
    train_gains: bool = True
    """Let the prototypes' gains learn (False: DINO of 2021, norm_last_layer)."""


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Multi-crop augmentation."""

    global_size: int = 224
    """Side of the two global crops, pixels."""
    global_scale: tuple[float, float] = (0.32, 1.0)
    """Area of a global crop, share of the image."""
    local_size: int = 98
    """Side of the local crops, pixels."""
    local_scale: tuple[float, float] = (0.05, 0.32)
    """Area of a local crop, share of the image."""
    num_local: int = 8
    """Local crops per image."""
    blur_mode: Literal["released", "paper"] = "released"
    """Blur probabilities as the released models were trained (inverted), or as the paper says."""
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    """Blur, pixels of the crop; small crops want less."""
    jitter: float = 0.8
    """Probability of colour jitter; less where colours say what an image shows."""
    gray: float = 0.2
    """Probability of grayscale; less where colours say what an image shows."""
    solarize: float = 0.2
    """Probability of solarizing the second global crop."""
    engine: Literal["pillow", "cv2", "tensor"] = "pillow"
    """Resampling and colour: torchvision's results exactly; faster and near; or on the device."""
    draft: bool = False
    """Decode large JPEGs at 1/2, 1/4 or 1/8 of their size where that enlarges no view."""


@dataclass(frozen=True, kw_only=True)
class Optim:
    """Optimiser and schedules; a step is one update of the weights."""

    batch_size: int = 3072
    """Images per step over all devices."""
    steps: int = 625_000
    """Steps."""
    lr: float = 3.5e-4
    """Peak learning rate, at this batch size."""
    min_lr: float = 1e-6
    """Last learning rate."""
    warmup_steps: int = 100_000
    """Steps of linear warm-up."""
    weight_decay: float = 0.04
    """First weight decay."""
    weight_decay_end: float = 0.2
    """Last weight decay."""
    clip_grad: float = 3.0
    """Largest gradient norm of each sub-module."""
    freeze_last_layer_steps: int = 1250
    """Steps with the prototypes frozen."""
    head_warmup_steps: int = 0
    """Steps at first in which only the heads learn: for a start from a trained backbone."""
    patch_embed_lr_mult: float = 0.2
    """Learning-rate factor of the patch embedding."""
    layerwise_decay: float = 1.0
    """Learning-rate factor per block, from the last down."""
    beta2: float = 0.999
    """AdamW's second beta."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp16"
    """Arithmetic of forward and backward."""


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights and temperatures of the losses."""

    dino_weight: float = 1.0
    """Weight of the DINO loss."""
    ibot_weight: float = 1.0
    """Weight of the iBOT loss."""
    koleo_weight: float = 0.1
    """Weight of the KoLeo loss, per global crop."""
    centering: Literal["sinkhorn_knopp", "softmax"] = "sinkhorn_knopp"
    """How teacher scores become targets."""
    mask_probability: float = 0.5
    """Share of global crops that are masked."""
    mask_ratio: tuple[float, float] = (0.1, 0.5)
    """Share of patches masked in them."""
    exact_masks: bool = False
    """Mask exactly the same number of patches in every group, so that shapes never change."""
    group_size: int = 0
    """Images that share mask strata and KoLeo neighbours, as one GPU's do in the reference (12 for
    ViT-g); where it divides a rank's images a step is the same on any number of ranks. 0: masks
    over the whole batch, KoLeo over whatever one forward pass holds."""
    student_temp: float = 0.1
    """Temperature of the student."""
    teacher_temp: float = 0.07
    """Temperature of the teacher after warm-up."""
    teacher_temp_start: float = 0.04
    """Temperature of the teacher at first."""
    teacher_temp_warmup_steps: int = 37_500
    """Steps of that warm-up."""
    teacher_momentum: float = 0.994
    """First momentum of the teacher."""
    teacher_momentum_end: float = 1.0
    """Last momentum of the teacher."""


@dataclass(frozen=True, kw_only=True)
class Pretrain:
    """Pretrain a backbone by self-distillation (DINO + iBOT + KoLeo)."""

    version: int = 3
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of initialisation, order, augmentation, masks and drop-path."""
    backbone: Backbone = field(default_factory=Backbone)
    heads: Heads = field(default_factory=Heads)
    crops: Crops = field(default_factory=Crops)
    optim: Optim = field(default_factory=Optim)
    objective: Objective = field(default_factory=Objective)
    nan_budget: int = 3
    """Steps in a row that may be skipped for a loss that is not finite."""


@dataclass(frozen=True, kw_only=True)
class Adapt:
    """Adapt a pretrained backbone to a higher resolution (paper, section 5)."""

    version: int = 3
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of order, augmentation, masks and drop-path."""
    crops: Crops = field(default_factory=lambda: Crops(global_size=518, local_size=224))
    optim: Optim = field(default_factory=lambda: Optim(steps=10_000, lr=3.5e-5, warmup_steps=1_600))
    objective: Objective = field(default_factory=Objective)
    drop_path: float = 0.4
    """Share of samples that skip a residual branch."""
    nan_budget: int = 3
    """Steps in a row that may be skipped for a loss that is not finite."""


@dataclass(frozen=True, kw_only=True)
class Distill:
    """Distil a frozen teacher into a smaller backbone (paper, section 5)."""

    version: int = 3
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of initialisation, order and augmentation."""
    backbone: Backbone = field(
        default_factory=lambda: Backbone(arch="vit_large", ffn="mlp", drop_path=0.0)
    )
    """What every student shares; `students` name the rest."""
    students: tuple[str, ...] = ()
    """Architectures trained side by side under one teacher pass, each `backbone` with that arch;
    none trains `backbone` alone."""
    crops: Crops = field(default_factory=Crops)
    optim: Optim = field(default_factory=lambda: Optim(batch_size=2048, lr=1e-3))
    objective: Objective = field(default_factory=lambda: Objective(mask_probability=0.0))
    nan_budget: int = 3
    """Steps in a row that may be skipped for a loss that is not finite."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How a training stage is executed; nothing here changes its result."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a CUDA device when there is one."""
    num_workers: int = 0
    """Processes per rank that decode and augment ahead."""
    cache: bool = False
    """Keep every decoded image in memory (3 bytes per pixel and worker): for small sets only."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    log_every: int = 10
    """Steps between rows of the log."""
    keep_checkpoints: int = 2
    """Newest checkpoints to keep."""
    accumulate: int = 1
    """Parts that a rank's images are passed forward and backward in, one after the other."""
    scores_mib: int = 64
    """Scores of prototypes computed at once, MiB (four times that while targets are balanced); 0
    computes all at once."""
    attention: Literal["sdpa", "xformers"] = "sdpa"
    """Attention over packed sequences."""
    compile: bool = False
    """Compile every block (torch.compile)."""
    recompute: bool = False
    """Recompute every block's activations in backward instead of keeping them."""
    parallel: Literal["fsdp", "ddp"] = "fsdp"
    """Several ranks: shard parameters and optimiser, or replicate them (small models)."""
    probe_every: int = 0
    """Steps between online k-NN probes; 0 never."""
    peak_tflops: float = 0.0
    """Peak of the device in this precision, TFLOP/s, for the log's MFU; 0 looks it up."""


@dataclass(frozen=True, kw_only=True)
class TrainSscd:
    """Train the copy-detection descriptor (SSCD) when no weights are given."""

    version: int = 2
    """Raise when the code changes results."""
    seed: int = 0
    """Seed of initialisation, augmentation and order."""
    arch: Literal["resnet50", "resnet18", "resnext101"] = "resnet50"
    """Trunk."""
    width: int = 64
    """Channels of the trunk's first stage."""
    dim: int = 512
    """Length of the descriptor."""
    resolution: int = 224
    """Side of training crops, pixels."""
    steps: int = 24_400
    """Optimiser steps."""
    batch_size: int = 4096
    """Images per step."""
    entropy_weight: float = 30.0
    """Weight of the entropy term."""
    temperature: float = 0.05
    """Temperature of InfoNCE."""
    lr: float = 1e-3
    """Peak learning rate (AdamW; the paper uses LARS)."""
    warmup_steps: int = 1_220
    """Steps of linear warm-up."""
    weight_decay: float = 1e-6
    """Weight decay."""
    clip_grad: float = 3.0
    """Largest gradient norm."""
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    """Arithmetic of forward and backward."""
    crop_scale: tuple[float, float] = (0.08, 1.0)
    """Area of a copy's crop, share of the image."""
    mirror_share: float = 0.5
    """Share of copies that are mirrored."""
    jitter: tuple[float, float, float, float] = (0.8, 0.8, 0.8, 0.2)
    """Reach of brightness, contrast, saturation and hue in four of five copies."""
    gray_share: float = 0.2
    """Share of copies without colour."""
    blur_sigma: tuple[float, float] = (1.0, 5.0)
    """Standard deviation of the blur of every second copy, pixels at a side of 224."""
    jpeg_share: float = 0.2
    """Share of copies that are encoded as JPEG of any quality."""
    text_share: float = 0.1
    """Share of copies with letters over them."""
    sticker_share: float = 0.2
    """Share of copies with a sticker over them."""
    rotate_share: float = 0.05
    """Share of copies in quarter turns, and the same again at any angle."""
    mix_share: float = 0.05
    """Share of copies that are mixed with another one and match both images' copies."""
    cutmix_share: float = 0.5
    """Share of those that hold a box of the other (CutMix); the rest are blended (mixup)."""
    mix_alpha: float = 2.0
    """Both parameters of the Beta law of the share that a mixed copy keeps."""
    whiten: bool = True
    """Whiten descriptors at the end, by the covariance over training images."""
    shrinkage: float = 0.1
    """Share of the mean variance added to every variance when whitening."""
