"""Folders for Hugging Face against the transformers library, an implementation of others."""

import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from tests.sauropod.models.conftest import MakeVit

from sauropod.models import huggingface
from sauropod.models.layouts import to_huggingface
from sauropod.models.vit import VisionTransformer
from sauropod.models.weights import load_backbone
from sauropod.train.augment import eval_crop, normalise
from sauropod.train.config import Backbone

pytestmark = pytest.mark.filterwarnings("ignore")  # of the other library
KINDS = [("mlp", 0), ("mlp", 4), ("swiglu", 0), ("swiglu", 4)]
SIZES = [(28, 28), (21, 21), (14, 56), (63, 28)]
STAMP = {"stage": "export", "knobs": '{"layout": "huggingface"}', "inputs": '["a.safetensors"]'}


@pytest.fixture(scope="module")
def transformers() -> ModuleType:
    """Imported once, for it takes seconds."""
    import transformers

    transformers.logging.disable_progress_bar()
    return transformers


def as_theirs(make_vit: MakeVit, ffn: str, registers: int) -> tuple[VisionTransformer, Backbone]:
    """A backbone that resizes positions as that library does."""
    return make_vit(ffn=ffn, registers=registers, interpolate_offset=0.0)


def noise(height: int, width: int) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("ffn", "registers"), KINDS)
def test_their_model_reads_our_folder_and_computes_the_same(
    transformers: ModuleType, make_vit: MakeVit, tmp_path: Path, ffn: str, registers: int
) -> None:
    vit, knobs = as_theirs(make_vit, ffn, registers)
    huggingface.write(vit, tmp_path, knobs=knobs, stamp=STAMP, name="tiny")
    model, info = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(model).__name__ == ("Dinov2WithRegistersModel" if registers else "Dinov2Model")
    assert not any(info.values()), info
    for size in SIZES:
        images = noise(*size)
        mask = torch.arange(2 * size[0] // 7 * (size[1] // 7)).reshape(2, -1) % 3 == 0
        for masks in (None, mask):
            with torch.no_grad():
                theirs = model.eval()(images, bool_masked_pos=masks).last_hidden_state
                ours = vit.forward_features([images], masks=[masks])[0]
            tokens = [ours.cls_token[:, None], ours.register_tokens, ours.patch_tokens]
            torch.testing.assert_close(torch.cat(tokens, dim=1), theirs, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("ffn", "registers"), KINDS)
def test_we_read_what_they_save(
    transformers: ModuleType, make_vit: MakeVit, tmp_path: Path, ffn: str, registers: int
) -> None:
    config = huggingface.config(as_theirs(make_vit, ffn, registers)[1])
    config["num_attention_heads"] = 4  # 32 wide, which shapes do not tell
    kind = transformers.Dinov2WithRegistersModel if registers else transformers.Dinov2Model
    model = kind(kind.config_class.from_dict(config)).eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(tmp_path)
    vit, knobs = load_backbone(tmp_path)
    assert (knobs.num_heads, knobs.image_size, knobs.ffn) == (4, 28, ffn)
    again, _ = load_backbone(tmp_path / "model.safetensors")
    for size in SIZES:
        with torch.no_grad():
            theirs = model(noise(*size)).last_hidden_state
            torch.testing.assert_close(vit(noise(*size)), theirs[:, 0], atol=2e-5, rtol=0)
            assert torch.equal(vit(noise(*size)), again(noise(*size)))


def test_their_preprocessing_is_our_evaluation_view(
    transformers: ModuleType, make_vit: MakeVit, tmp_path: Path
) -> None:
    vit, knobs = make_vit(patch_size=14, image_size=224)
    huggingface.write(vit, tmp_path, knobs=knobs, stamp=STAMP, name="tiny")
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    image = Image.fromarray(pixels).resize((450, 300), Image.Resampling.BICUBIC)
    theirs = processor(image, return_tensors="pt")["pixel_values"][0]
    ours = normalise(torch.from_numpy(eval_crop(image, resize=256, crop=224)))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_card_tells_where_the_model_comes_from(make_vit: MakeVit, tmp_path: Path) -> None:
    vit, knobs = make_vit(registers=4)
    stamp = STAMP | {"backbone": '{"stage": "pretrain", "knobs": "{\\"steps\\": 7}"}'}
    huggingface.write(vit, tmp_path, knobs=knobs, stamp=stamp, name="tiny")
    card = (tmp_path / "README.md").read_text()
    provenance = json.loads(card.split("```json")[1].split("```")[0])
    assert provenance["backbone"] == {"stage": "pretrain", "knobs": {"steps": 7}}
    assert provenance["inputs"] == ["a.safetensors"]
    assert "| 0.4 M | 2 | 128 | 2 | 4 | 7 | 28 |" in card
    assert 'AutoModel.from_pretrained("tiny")' in card
    assert "tokens[:, 5:]" in card


def test_every_parameter_is_written_once(make_vit: MakeVit, tmp_path: Path) -> None:
    vit, _ = make_vit()
    state = to_huggingface(vit.state_dict())
    huggingface.write_tensors(state, tmp_path / "model.safetensors", stamp=STAMP)
    numbers = sum(tensor.numel() for tensor in vit.state_dict().values())
    assert (tmp_path / "model.safetensors").stat().st_size < 4 * numbers + 20_000
