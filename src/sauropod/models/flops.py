"""Floating-point operations of a training step, and how many a second a known device can do.

Their quotient is the model FLOPs utilisation (MFU; arXiv 2204.02311, appendix B): operations that
the model needs, so that what is computed twice to save memory counts once. A multiply-add is two
operations. Matrix products and attention count; what is linear in the tokens alone (norms,
activations, position embeddings, losses, optimiser) does not.
"""

import itertools
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from sauropod.models.layers import swiglu_width
from sauropod.models.vit import arch_of
from sauropod.train.config import Backbone, Crops, Heads, Objective

# Dense bf16 or fp16 with fp32 accumulation, TFLOP/s, from the vendors' data sheets, where figures
# with sparsity are halved; the first name that is found in the device's counts.
_PEAKS = {
    "B200": 2250,
    "H200 NVL": 835,
    "H100 NVL": 835,
    "H100 PCIe": 756,
    "H[12]00|GH200": 989,
    "A100": 312,
    "A40": 149.7,
    "A30": 165,
    "A10G": 70,
    "A10": 125,
    "L40S": 362,
    "L40": 181,
    "L4": 121,
    "RTX 6000 Ada": 364,
    "RTX A6000": 154.8,
    "RTX 5090": 209.5,
    "RTX 4090": 165.2,
    "RTX 3090": 71,
    "V100.*PCIE": 112,
    "V100": 125,
    "T4": 65,
}
_FP16_ONLY = {"V100.*PCIE", "V100", "T4"}


def peak_flops(device_name: str, precision: Literal["fp32", "bf16", "fp16"]) -> float | None:
    """Dense matrix-product peak of a device, operations per second.

    Args:
        device_name: As `torch.cuda.get_device_name` says it.
        precision: Arithmetic; accumulation is in fp32.

    Returns:
        None for an unknown device, a laptop's (its power limit decides), and fp32.
    """
    if precision == "fp32" or "Laptop" in device_name:
        return None
    for name, tera in _PEAKS.items():
        if re.search(rf"\b(?:{name})\b", device_name):
            return None if precision == "bf16" and name in _FP16_ONLY else tera * 1e12
    return None


def step_flops(
    students: Sequence[Backbone],
    heads: Heads,
    crops: Crops,
    *,
    objective: Objective,
    teacher: Backbone | None = None,
) -> float:
    """Operations of one training step per image, over all of its crops.

    Args:
        students: Backbones that learn, each with heads of its own.
        heads: Shape of everybody's heads.
        crops: Two global crops, and the local ones that only students see.
        objective: Says how many patches the iBOT loss compares.
        teacher: A frozen teacher (distillation: nothing is masked, iBOT compares every patch); None
            is the moving average of the one student.
    """
    assert teacher is not None or len(students) == 1, "a moving average has one student"
    share = objective.mask_probability * sum(objective.mask_ratio) / 2 if teacher is None else 1.0
    if not objective.ibot_weight:
        share = 0.0
    patches = 2 * share * (crops.global_size // students[0].patch_size) ** 2
    teaching = teacher or students[0]
    total = 2 * sum(image_flops(teaching, size=crops.global_size))
    total += _heads_flops(heads, backbone=teaching, cls=2, patches=patches)
    for student in students:
        views = image_flops(student, size=crops.global_size)
        parts = image_flops(student, size=crops.local_size)
        embed, blocks = (2 * a + crops.num_local * b for a, b in zip(views, parts, strict=True))
        rate = student.drop_path / 2 if student.drop_path_ramp else student.drop_path
        cls = 2 + crops.num_local
        # Backward is twice forward, but nobody asks for the gradient of a pixel.
        total += 2 * embed + 3 * (1 - rate) * blocks
        total += 3 * _heads_flops(heads, backbone=student, cls=cls, patches=patches)
    return total


class Forward(NamedTuple):
    """Operations of the two parts of a backbone's forward pass."""

    embed: float
    """Patch embedding."""
    blocks: float
    """All blocks, attention included."""


def image_flops(knobs: Backbone, *, size: int) -> Forward:
    """Operations of one forward pass of one square image of `size` pixels."""
    dim, depth, _ = arch_of(knobs)
    patches = (size // knobs.patch_size) ** 2
    tokens = 1 + knobs.num_registers + patches
    # Weights per token: qkv and proj, then two linear maps of an MLP or three of a SwiGLU.
    ffn = 8 * dim * dim if knobs.ffn == "mlp" else 3 * dim * swiglu_width(4 * dim)
    linear = 2 * tokens * (4 * dim * dim + ffn)
    attention = 4 * tokens * tokens * dim  # scores, and their sums of values
    return Forward(
        2.0 * patches * 3 * knobs.patch_size**2 * dim, float(depth * (linear + attention))
    )


def _heads_flops(heads: Heads, *, backbone: Backbone, cls: float, patches: float) -> float:
    """Operations of one forward pass of `cls` class tokens and `patches` patch tokens."""
    dim = arch_of(backbone).embed_dim
    dino = _row_flops(heads, dim, heads.bottleneck_dim, heads.num_prototypes)
    if not heads.separate_ibot:
        return (cls + patches) * dino
    return cls * dino + patches * _row_flops(
        heads, dim, heads.ibot_bottleneck_dim, heads.ibot_num_prototypes
    )


def _row_flops(heads: Heads, dim: int, bottleneck: int, prototypes: int) -> float:
    widths = [dim, *[heads.hidden_dim] * (heads.num_layers - 1), bottleneck, prototypes]
    return 2.0 * sum(a * b for a, b in itertools.pairwise(widths))
