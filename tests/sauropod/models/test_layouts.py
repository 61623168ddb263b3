"""Names and shapes of other libraries: there and back, against lists of their names, and mixed."""

from collections.abc import Callable

import pytest
import torch
from tests.sauropod.models.conftest import MakeVit
from torch import Tensor

from sauropod.models import layouts

KINDS = [("mlp", 0), ("mlp", 4), ("swiglu", 0), ("swiglu", 4)]

# Written down from the transformers library's released files and from timm's model definitions.
HUGGINGFACE_BLOCK = """
norm1.weight norm1.bias norm2.weight norm2.bias layer_scale1.lambda1 layer_scale2.lambda1
attention.attention.query.weight attention.attention.query.bias attention.attention.key.weight
attention.attention.key.bias attention.attention.value.weight attention.attention.value.bias
attention.output.dense.weight attention.output.dense.bias
"""
HUGGINGFACE = """
embeddings.cls_token embeddings.mask_token embeddings.position_embeddings
embeddings.patch_embeddings.projection.weight embeddings.patch_embeddings.projection.bias
layernorm.weight layernorm.bias
"""
TIMM_BLOCK = """
norm1.weight norm1.bias norm2.weight norm2.bias ls1.gamma ls2.gamma attn.qkv.weight attn.qkv.bias
attn.proj.weight attn.proj.bias mlp.fc1.weight mlp.fc1.bias mlp.fc2.weight mlp.fc2.bias
"""
TIMM = "cls_token pos_embed patch_embed.proj.weight patch_embed.proj.bias norm.weight norm.bias"


def equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize(("ffn", "registers"), KINDS)
def test_hugging_face_and_back(make_vit: MakeVit, ffn: str, registers: int) -> None:
    state = make_vit(ffn=ffn, registers=registers)[0].state_dict()
    theirs = layouts.to_huggingface(state)
    linears = ("weights_in", "weights_out") if ffn == "swiglu" else ("fc1", "fc2")
    block = HUGGINGFACE_BLOCK.split()
    block += [f"mlp.{linear}.{kind}" for linear in linears for kind in ("weight", "bias")]
    expected = HUGGINGFACE.split() + [f"encoder.layer.{i}.{name}" for i in (0, 1) for name in block]
    assert set(theirs) == {*expected, *["embeddings.register_tokens"][: registers // 4]}
    assert layouts.names_of(theirs) == "huggingface"
    equal(layouts.to_ours(theirs), state)


@pytest.mark.parametrize(("ffn", "registers"), KINDS)
def test_timm_and_back(make_vit: MakeVit, ffn: str, registers: int) -> None:
    state = make_vit(ffn=ffn, registers=registers)[0].state_dict()
    theirs = layouts.to_timm(state)
    expected = TIMM.split() + [f"blocks.{i}.{name}" for i in (0, 1) for name in TIMM_BLOCK.split()]
    assert set(theirs) == {*expected, *["reg_token"][: registers // 4]}
    assert theirs["pos_embed"].shape[1] == (16 if registers else 17)
    assert layouts.names_of(theirs) == "timm"
    again = layouts.to_ours(theirs)
    if registers:  # only the sum of class token and its position is kept
        total = state["cls_token"] + state["pos_embed"][:, :1]
        assert torch.equal(again["cls_token"] + again["pos_embed"][:, :1], total)
        state |= {name: again[name] for name in ("cls_token", "pos_embed")}
    equal(again, state | {"mask_token": torch.zeros(1, 128)})


def test_metas_chunks_are_joined(make_vit: MakeVit) -> None:
    state = make_vit()[0].state_dict()
    chunked = {k.replace("blocks.1.", "blocks.1.1."): v for k, v in state.items()}
    chunked = {k.replace("blocks.0.", "blocks.0.0."): v for k, v in chunked.items()}
    assert layouts.names_of(chunked) == "meta"
    equal(layouts.to_ours(chunked), state)


def test_a_layerscale_that_we_lack_is_one_there(make_vit: MakeVit) -> None:
    theirs = layouts.to_huggingface(make_vit(layerscale=0.0)[0].state_dict())
    for i in (0, 1):
        for scale in ("layer_scale1", "layer_scale2"):
            assert torch.equal(theirs[f"encoder.layer.{i}.{scale}.lambda1"], torch.ones(128))


@pytest.mark.parametrize(
    ("library", "foreign", "message"),
    [
        (layouts.to_huggingface, "cls_token", "cls_token under two names"),
        (layouts.to_huggingface, "blocks.1.attn.qkv.bias", "blocks.1.attn.qkv.bias under two"),
        (layouts.to_timm, "register_tokens", "register_tokens under two"),
        (dict, "blocks.0.1.norm1.bias", "blocks.1.norm1.bias under two"),
    ],
)
def test_mixed_names_are_refused(
    make_vit: MakeVit, library: Callable[..., dict[str, Tensor]], foreign: str, message: str
) -> None:
    theirs = library(make_vit(registers=4)[0].state_dict())
    with pytest.raises(ValueError, match=message):
        layouts.to_ours({**theirs, foreign: torch.zeros(3)})


def test_parts_that_do_not_fit_are_refused(make_vit: MakeVit) -> None:
    theirs = layouts.to_huggingface(make_vit()[0].state_dict())
    theirs["encoder.layer.1.attention.attention.key.weight"] = torch.zeros(3, 128)
    with pytest.raises(ValueError, match=r"different shapes for blocks\.1\.attn\.qkv\.weight"):
        layouts.to_ours(theirs)


def test_who_resizes_positions_how() -> None:
    assert layouts.interpolation("meta", num_registers=0) == (0.1, False)
    assert layouts.interpolation("meta", num_registers=4) == (0.0, True)
    assert layouts.interpolation("huggingface", num_registers=0) == (0.0, False)
    assert layouts.interpolation("huggingface", num_registers=4) == (0.0, True)
    assert layouts.interpolation("timm", num_registers=0) == (0.0, True)
