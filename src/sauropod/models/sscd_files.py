"""Weights of the copy-detection descriptor: ours, and every format its authors publish.

Pizzi et al. 2022 give each network as `*.torchvision.pt` and `*.classy.pt` (state dicts, with the
names of the two libraries) and as `*.torchscript.pt` (the traced network). All are read as tensors:
no code of a file is run, whichever it is.
"""

import dataclasses
import json
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from sauropod import io
from sauropod.config import SscdArch
from sauropod.errors import InputError
from sauropod.models import torchscript
from sauropod.models.sscd import Sscd

FIX = "name weights of train_sscd.py, or the authors' torchvision, classy or TorchScript file"
STEM = {"0": "conv1", "1": "bn1"}
INSIDE = {"0": "conv1", "1": "bn1", "3": "conv2", "4": "bn2", "6": "conv3"}
"""Layers of a Classy Vision block by their place in its sequence."""


def save(model: Sscd, path: Path) -> None:
    """Write weights as safetensors, the architecture's knobs in the metadata."""
    tensors = {name: value.contiguous().cpu() for name, value in model.state_dict().items()}
    with io.replacing(path) as temporary:
        save_file(tensors, temporary, {"knobs": json.dumps(dataclasses.asdict(model.arch))})


def load(path: Path, *, device: torch.device) -> Sscd:
    """Read a descriptor network in any of the formats, in float32 and ready for inference.

    Raises:
        InputError: the file is missing or none of these, its tensors fit no known trunk, or one of
            them is not finite.
    """
    if not path.is_file():
        raise InputError(path, expected="descriptor weights", found="no such file", fix=FIX)
    if path.suffix == ".safetensors":
        arch, tensors = _ours(path)
    else:
        tensors = _published(path)
        arch = _arch(tensors, path)
    model = _fill(arch, tensors, path).to(device).eval()
    # Convolutions of this layout are faster on a CPU, and suit tensor cores.
    return model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _ours(path: Path) -> tuple[SscdArch, dict[str, Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        return SscdArch(**json.loads(metadata["knobs"])), load_file(path)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise _not_sscd(path, f"{type(error).__name__}: {error}") from error


def _published(path: Path) -> dict[str, Tensor]:
    """Tensors of one of the authors' files by torchvision's names."""
    if torchscript.is_archive(path):
        try:
            tensors = torchscript.tensors(path)
        except ValueError as error:
            raise _not_sscd(path, str(error)) from error
    else:
        tensors = _state_dict(path)
    plain = {n.removeprefix("module.").removeprefix("backbone."): v for n, v in tensors.items()}
    # Classy Vision keeps the last norm of a block outside of its sequence.
    last = "bn3" if any(".convolutional_block.6." in name for name in plain) else "bn2"
    return {_renamed(name, last=last): value for name, value in plain.items()}


def _state_dict(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # junk makes torch's restricted unpickler fail in any way
        found = f"{type(error).__name__}: {error}".splitlines()[0]
        raise _not_sscd(path, found) from error
    if not isinstance(tensors, dict) or not all(isinstance(v, Tensor) for v in tensors.values()):
        raise _not_sscd(path, f"a {type(tensors).__name__}, not a state dict")
    return tensors


def _renamed(name: str, *, last: str) -> str:
    """A parameter's name in Classy Vision -> in torchvision; others stay as they are."""
    if found := re.fullmatch(r"embeddings\.1\.(\w+)", name):
        return f"fc.{found[1]}"
    if found := re.fullmatch(r"initial_block\._module\.([01])\.(\w+)", name):
        return f"{STEM[found[1]]}.{found[2]}"
    found = re.fullmatch(r"blocks\.(\d)\.block\d-(\d+)\.(.+)", name)
    if not found:
        return name
    block, layer = f"layer{int(found[1]) + 1}.{found[2]}", found[3]
    if inside := re.fullmatch(r"convolutional_block\.([01346])\.(\w+)", layer):
        return f"{block}.{INSIDE[inside[1]]}.{inside[2]}"
    return f"{block}.{re.sub(r'^bn[.]', f'{last}.', layer)}"


def _arch(tensors: dict[str, Tensor], path: Path) -> SscdArch:
    """Trunk, width and dim from the names and shapes of a state dict."""
    if not {"conv1.weight", "fc.weight"} <= tensors.keys():
        held = "no parameters (a frozen program)" if not tensors else f"{len(tensors)} tensors"
        raise _not_sscd(path, f"{held} without conv1.weight and fc.weight")
    bottleneck = "layer1.0.conv3.weight" in tensors
    deep = "layer3.22.conv1.weight" in tensors
    return SscdArch(
        trunk="resnext101" if deep else "resnet50" if bottleneck else "resnet18",
        width=tensors["conv1.weight"].shape[0],
        dim=tensors["fc.weight"].shape[0],
    )


def _fill(arch: SscdArch, tensors: dict[str, Tensor], path: Path) -> Sscd:
    with torch.device("meta"):
        model = Sscd(arch)
    for name, value in tensors.items():
        if not value.isfinite().all():
            raise _not_sscd(path, f"{name} with values that are not finite")
    # Half-precision files serve in full precision.
    floats = {n: v.float() if v.is_floating_point() else v for n, v in tensors.items()}
    try:
        model.load_state_dict(floats, strict=True, assign=True)
    except RuntimeError as error:
        raise _not_sscd(path, " ".join(str(error).split())[:300]) from error
    return model


def _not_sscd(path: Path, found: str) -> InputError:
    expected = "SSCD weights (ResNet-18, ResNet-50 or ResNeXt-101 with a linear projection)"
    return InputError(path, expected=expected, found=found, fix=FIX)
