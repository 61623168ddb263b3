"""A backbone as a folder of Hugging Face: `AutoModel.from_pretrained(folder)` loads it.

Plain JSON and safetensors: nothing here needs the transformers library.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from sauropod import io
from sauropod.models.layouts import to_huggingface
from sauropod.models.vit import VisionTransformer, arch_of
from sauropod.train.augment import MEAN, STD
from sauropod.train.config import Backbone

_CARD = """---
library_name: transformers
pipeline_tag: image-feature-extraction
tags: [dinov2]
---
# {name}

A vision transformer trained without labels by DINOv2 (arXiv 2304.07193), exported by sauropod.

| parameters | blocks | width | heads | registers | patch, px | positions stored for, px |
|---|---|---|---|---|---|---|
| {millions:.1f} M | {depth} | {embed_dim} | {num_heads} | {num_registers} | {patch} | {image} |

```python
from transformers import AutoImageProcessor, AutoModel

processor = AutoImageProcessor.from_pretrained("{name}")
model = AutoModel.from_pretrained("{name}")
tokens = model(**processor(image, return_tensors="pt")).last_hidden_state
cls_token, patch_tokens = tokens[:, 0], tokens[:, {first_patch}:]
```

## Provenance

```json
{provenance}
```
"""


def write(
    vit: VisionTransformer, folder: Path, *, knobs: Backbone, stamp: Mapping[str, str], name: str
) -> None:
    """Fill a folder with config, weights, preprocessing and a model card.

    Args:
        vit: The backbone, on any device.
        folder: Where to write; it exists.
        knobs: Architecture.
        stamp: Provenance from `io.stamp`.
        name: What the card calls the model.
    """
    io.write_json(config(knobs), folder / "config.json")
    io.write_json(preprocessor(knobs), folder / "preprocessor_config.json")
    write_tensors(to_huggingface(vit.state_dict()), folder / "model.safetensors", stamp=stamp)
    dims = arch_of(knobs)
    card = _CARD.format(
        name=name,
        **dims._asdict(),
        patch=knobs.patch_size,
        num_registers=knobs.num_registers,
        image=knobs.image_size,
        millions=sum(p.numel() for p in vit.parameters()) / 1e6,
        first_patch=1 + knobs.num_registers,
        provenance=json.dumps(_plain(dict(stamp)), indent=2),
    )
    with io.replacing(folder / "README.md") as temporary:
        temporary.write_text(card)


def write_tensors(state: Mapping[str, Tensor], path: Path, *, stamp: Mapping[str, str]) -> None:
    """Write tensors as the safetensors file of a PyTorch library, atomically."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    with io.replacing(path) as temporary:
        save_file(whole, temporary, metadata={"format": "pt", **stamp})


def config(knobs: Backbone) -> dict[str, Any]:
    """`config.json` of a Dinov2Model or, with registers, of a Dinov2WithRegistersModel."""
    dims = arch_of(knobs)
    kind, registers = ("Dinov2Model", {})
    if knobs.num_registers:
        kind, registers = "Dinov2WithRegistersModel", {"num_register_tokens": knobs.num_registers}
    return {
        "architectures": [kind],
        "model_type": "dinov2_with_registers" if registers else "dinov2",
        "hidden_size": dims.embed_dim,
        "num_hidden_layers": dims.depth,
        "num_attention_heads": dims.num_heads,
        "mlp_ratio": 4,
        "use_swiglu_ffn": knobs.ffn == "swiglu",
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "layerscale_value": knobs.layerscale or 1.0,
        "qkv_bias": True,
        "num_channels": 3,
        "patch_size": knobs.patch_size,
        "image_size": knobs.image_size,
        **registers,
    }


def preprocessor(knobs: Backbone) -> dict[str, Any]:
    """`preprocessor_config.json`: the evaluation view, 224 of 256 pixels or as much of others."""
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": round(knobs.image_size * 256 / 224)},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": knobs.image_size, "width": knobs.image_size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A stamp's value with the JSON inside its strings spelt out."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        value = json.loads(value)
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return value
