"""FLOPs of a step against PyTorch's own counter and published totals; peaks of devices."""

import dataclasses
from typing import Literal

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sauropod.models.flops import image_flops, peak_flops, step_flops
from sauropod.models.head import build_heads
from sauropod.models.vit import build_vit
from sauropod.train.config import Backbone, Crops, Heads, Objective

TINY = Backbone(
    arch="vit_tiny", embed_dim=16, depth=3, num_heads=2, patch_size=7, image_size=28, ffn="mlp",
    drop_path=0.0, num_registers=2,
)  # fmt: skip
HEADS = Heads(
    num_prototypes=24, bottleneck_dim=12, hidden_dim=20, ibot_num_prototypes=16,
    ibot_bottleneck_dim=8,
)  # fmt: skip
OBJECTIVE = Objective(mask_probability=0.5, mask_ratio=(0.25, 0.75))  # 4 of 16 patches on average
B = 5


@pytest.mark.parametrize("ffn", ["mlp", "swiglu"])
@pytest.mark.parametrize("separate", [True, False])
@pytest.mark.parametrize("drop_path", [0.0, 0.6])
def test_a_step_is_what_the_counter_counts(
    ffn: Literal["mlp", "swiglu"], separate: bool, drop_path: float
) -> None:
    knobs = dataclasses.replace(TINY, ffn=ffn, drop_path=drop_path)
    heads_knobs = dataclasses.replace(HEADS, separate_ibot=separate)
    # Crops of one size: a table of another size costs two small products that do not count.
    crops = Crops(global_size=28, local_size=28, num_local=3)
    student, heads = build_vit(knobs).train(), build_heads(heads_knobs, embed_dim=16)
    dino = heads["dino_head"]
    ibot = heads["ibot_head"] if separate else dino

    def scores(images: torch.Tensor) -> torch.Tensor:
        seen = student.forward_features([images], generator=torch.Generator())[0]
        patches = seen.patch_tokens[: 2 * B, :4].flatten(0, 1)
        both = (dino(seen.cls_token), ibot(patches))
        return torch.stack([(s.features @ s.prototypes.t()).sum() for s in both]).sum()

    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        scores(torch.randn((2 + 3) * B, 3, 28, 28)).backward()
        student.eval()
        with torch.no_grad():
            scores(torch.randn(2 * B, 3, 28, 28))
    expected = B * step_flops([knobs], heads_knobs, crops, objective=OBJECTIVE)
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-12)


def test_an_image_by_hand() -> None:
    embed, blocks = image_flops(TINY, size=28)
    assert embed == 2 * 16 * (3 * 49) * 16
    assert blocks == 3 * (2 * 19 * (12 * 16 * 16) + 2 * 2 * 19 * 19 * 16)


BIG = {"num_prototypes": 131_072, "bottleneck_dim": 384, "separate_ibot": True}
SMALL = {"num_prototypes": 65_536, "bottleneck_dim": 256, "separate_ibot": False}


@pytest.mark.parametrize(
    ("arch", "ffn", "heads", "whole", "dropped"),
    [
        ("vit_small", "mlp", SMALL, 164, 114),
        ("vit_base", "mlp", SMALL, 590, 397),
        ("vit_large", "mlp", BIG, 2055, 1374),
        ("vit_giant", "swiglu", BIG, 7548, 5019),
    ],
)
def test_published_architectures(
    arch: str, ffn: Literal["mlp", "swiglu"], heads: dict[str, int], whole: int, dropped: int
) -> None:
    for rate, giga in ((0.0, whole), (0.4, dropped)):
        knobs = Backbone(arch=arch, ffn=ffn, drop_path=rate)
        found = step_flops([knobs], Heads(**heads), Crops(), objective=Objective())
        assert found / 1e9 == pytest.approx(giga, rel=0.02)


def test_a_ramp_drops_half_as_much() -> None:
    def blocks(knobs: Backbone) -> float:
        return step_flops([knobs], HEADS, Crops(), objective=OBJECTIVE)

    flat = blocks(dataclasses.replace(TINY, drop_path=0.2))
    assert blocks(dataclasses.replace(TINY, drop_path=0.4, drop_path_ramp=True)) == flat


def test_students_of_one_teacher_share_its_pass() -> None:
    crops, teacher = Crops(), dataclasses.replace(TINY, depth=6)
    students = [TINY, dataclasses.replace(TINY, depth=2)]

    def step(*students: Backbone) -> float:
        return step_flops(students, HEADS, crops, objective=OBJECTIVE, teacher=teacher)

    shared = step(students[0]) + step(students[1]) - step(*students)
    nothing = dataclasses.replace(HEADS, num_prototypes=0, bottleneck_dim=0, hidden_dim=0,
                                  ibot_num_prototypes=0, ibot_bottleneck_dim=0)  # fmt: skip
    assert shared > 2 * sum(image_flops(teacher, size=224))
    no_ibot = dataclasses.replace(OBJECTIVE, ibot_weight=0.0)
    bare = [
        step_flops(who, nothing, crops, objective=no_ibot, teacher=teacher)
        for who in (students[:1], students[1:], students)
    ]
    assert bare[0] + bare[1] - bare[2] == 2 * sum(image_flops(teacher, size=224))
    with pytest.raises(AssertionError, match="one student"):
        step_flops(students, HEADS, crops, objective=OBJECTIVE)


def test_peaks_of_devices() -> None:
    assert peak_flops("NVIDIA H200", "bf16") == 989e12
    assert peak_flops("NVIDIA H100 80GB HBM3", "fp16") == 989e12
    assert peak_flops("NVIDIA H100 PCIe", "bf16") == 756e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "bf16") == 312e12
    assert peak_flops("NVIDIA L40S", "bf16") == 362e12
    assert peak_flops("NVIDIA GeForce RTX 4090", "bf16") == 165.2e12
    assert peak_flops("Tesla V100-SXM2-32GB", "fp16") == 125e12
    assert peak_flops("Tesla V100-PCIE-16GB", "fp16") == 112e12
    assert peak_flops("Tesla V100-SXM2-32GB", "bf16") is None
    assert peak_flops("NVIDIA H200", "fp32") is None
    assert peak_flops("NVIDIA GeForce RTX 4090 Laptop GPU", "bf16") is None
    assert peak_flops("NVIDIA B200", "bf16") == 2250e12
    assert peak_flops("AMD EPYC", "bf16") is None
