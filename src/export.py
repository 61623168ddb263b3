"""Write a backbone for other libraries: Hugging Face, Meta's reference, timm, ONNX; or as ours.

    python src/export.py --backbone results/pretrain/lvd/backbone.safetensors \\
        --layout huggingface --out exports/lvd
"""

import json
from pathlib import Path

from sauropod import cli, io
from sauropod.models.export import Layout, export
from sauropod.models.weights import load_backbone, provenance


def main(backbone: Path, layout: Layout, out: Path) -> None:
    """Export a backbone and check that the export computes the same.

    Args:
        backbone: Weights: our safetensors, or a file of Meta, Hugging Face (a folder) or timm.
        layout: safetensors (ours), huggingface (a folder), meta (.pth), timm (.safetensors) or
            onnx.
        out: File to write, or folder to make.
    """
    vit, knobs = load_backbone(backbone)
    stamp = io.stamp("export", knobs={"layout": layout}, inputs=[backbone])
    if made_by := provenance(backbone):
        stamp["backbone"] = json.dumps(made_by, sort_keys=True)
    export(vit, knobs=knobs, layout=layout, out=out, stamp=stamp)


if __name__ == "__main__":
    cli.run(main)
