"""SSCD weights: every published layout gives the network it was made from, and no code is run."""

import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sauropod.config import SscdArch
from sauropod.errors import InputError
from sauropod.models import sscd, sscd_files

CPU = torch.device("cpu")


def images(count: int = 2, side: int = 40) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def shaken(module: nn.Module) -> nn.Module:
    """Set every parameter and statistic, so that each one counts; evaluation mode."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, value in (*module.named_parameters(), *module.named_buffers()):
            if value.is_floating_point():
                # Norms keep the activations' scale; convolutions keep their variance.
                noise = torch.randn(value.shape, generator=generator)
                wide = value.dim() > 1
                value.copy_(noise * value[0].numel() ** -0.5 if wide else 1 + 0.1 * noise.abs())
                if name.endswith(("bias", "running_mean")):
                    value.copy_(0.1 * noise)
    return module.eval()


class L2(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.normalize(x)


class Gem(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(min=1e-6).pow(3).flatten(2).mean(dim=2).pow(1 / 3)


class ClassyBlock(nn.Module):
    """A residual block as Classy Vision lays it out, written anew from its description."""

    def __init__(self, inputs: int, outputs: int, middle: int, stride: int, groups: int) -> None:
        super().__init__()
        steps: list[nn.Module]
        if middle:
            steps = [nn.Conv2d(inputs, middle, 1, bias=False), nn.BatchNorm2d(middle), nn.ReLU()]
            conv = nn.Conv2d(middle, middle, 3, stride, 1, groups=groups, bias=False)
            steps += [conv, nn.BatchNorm2d(middle), nn.ReLU()]
            steps += [nn.Conv2d(middle, outputs, 1, bias=False)]
        else:
            steps = [nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)]
            steps += [nn.ReLU(), nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)]
        self.convolutional_block = nn.Sequential(*steps)
        self.bn = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            skip = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(skip, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.downsample is None else self.downsample(x)
        return (self.bn(self.convolutional_block(x)) + skip).relu()


class ClassyTrunk(nn.Module):
    def __init__(self, trunk: str, width: int) -> None:
        super().__init__()
        self.initial_block = nn.Module()
        stem = nn.Sequential(nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width))
        stem.extend([nn.ReLU(), nn.MaxPool2d(3, 2, 1)])
        self.initial_block._module = stem
        inputs, stages = width, []
        for s, count in enumerate(sscd.BLOCKS_PER_STAGE[trunk]):
            blocks = OrderedDict()
            planes = width * 2**s
            middle, outputs, groups = planes, planes * 4, 1
            if trunk == "resnet18":
                middle, outputs = 0, planes
            elif trunk == "resnext101":
                middle, groups = planes * 2, 32
            for i in range(count):
                stride = 2 if s and not i else 1
                blocks[f"block{s}-{i}"] = ClassyBlock(inputs, outputs, middle, stride, groups)
                inputs = outputs
            stages.append(nn.Sequential(blocks))
        self.blocks = nn.Sequential(*stages)
        self.channels = inputs

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.initial_block._module(x))


class Classy(nn.Module):
    """The authors' `Model` on a Classy Vision trunk."""

    def __init__(self, trunk: str, width: int, dim: int) -> None:
        super().__init__()
        self.backbone = ClassyTrunk(trunk, width)
        self.embeddings = nn.Sequential(Gem(), nn.Linear(self.backbone.channels, dim), L2())

    def forward(self, x: Tensor) -> Tensor:
        return self.embeddings(self.backbone(x))


class Torchvision(nn.Module):
    """The authors' `Model` on a torchvision trunk, whose `fc` is the projection."""

    def __init__(self, arch: SscdArch) -> None:
        super().__init__()
        self.backbone = sscd.create(arch, seed=0)
        self.embeddings = L2()

    def forward(self, x: Tensor) -> Tensor:
        return self.embeddings(self.backbone(x))


def traced(model: nn.Module, path: Path, *, freeze: bool = False) -> Path:
    """Save as the authors do: `torch.jit.trace` on 64x64 pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        program = torch.jit.trace(model, torch.zeros(1, 3, 64, 64))
        torch.jit.save(torch.jit.freeze(program) if freeze else program, path)
    return path


@pytest.fixture(params=["resnet18", "resnet50", "resnext101"])
def classy(request: pytest.FixtureRequest) -> nn.Module:
    # 32 groups need 32 channels; two digits of block numbers need the long trunk.
    return shaken(Classy(request.param, 16 if request.param == "resnext101" else 8, 6))


TINY = SscdArch(trunk="resnet18", width=8, dim=16)


@torch.no_grad()
def test_classy_files_give_their_network(tmp_path: Path, classy: nn.Module) -> None:
    """An independent statement of the whole network, through the state dict and TorchScript."""
    x = images(2, 64)
    expected = classy(x)
    assert expected.std() > 0.05
    assert not torch.allclose(expected[0], expected[1], atol=1e-3)
    torch.save(classy.state_dict(), tmp_path / "w.classy.pt")
    for path in (tmp_path / "w.classy.pt", traced(classy, tmp_path / "w.torchscript.pt")):
        loaded = sscd_files.load(path, device=CPU)
        assert not loaded.training
        torch.testing.assert_close(loaded(x), expected, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_torchvision_files_give_their_network(tmp_path: Path) -> None:
    model, x = shaken(Torchvision(TINY)), images()
    torch.save(model.state_dict(), tmp_path / "w.torchvision.pt")
    for path in (tmp_path / "w.torchvision.pt", traced(model, tmp_path / "w.torchscript.pt")):
        loaded = sscd_files.load(path, device=CPU)
        assert loaded.arch == TINY
        torch.testing.assert_close(loaded(x), model(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("prefix", ["", "backbone.", "module.backbone."])
def test_prefixes(tmp_path: Path, prefix: str) -> None:
    model, x = shaken(sscd.create(TINY, seed=0)), images()
    torch.save({prefix + n: v.half() for n, v in model.state_dict().items()}, tmp_path / "w.pt")
    found = sscd_files.load(tmp_path / "w.pt", device=CPU)(x)
    torch.testing.assert_close(found, model(x), atol=2e-3, rtol=0)


def test_our_own_file(tmp_path: Path) -> None:
    model, x = shaken(sscd.create(TINY, seed=0)), images()
    sscd_files.save(model, tmp_path / "w.safetensors")
    loaded = sscd_files.load(tmp_path / "w.safetensors", device=CPU)
    torch.testing.assert_close(loaded(x), model(x), rtol=1e-5, atol=1e-6)


class Evil:
    """Would run code when unpickled."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("evil"),))


def test_never_unpickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Evil()}, tmp_path / "w.pt")
    with pytest.raises(InputError, match=r"w\.pt: expected SSCD weights"):
        sscd_files.load(tmp_path / "w.pt", device=CPU)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_junk_and_missing_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="no such file"):
        sscd_files.load(tmp_path / name, device=CPU)
    (tmp_path / name).write_bytes(b"junk" * 10)
    with pytest.raises(InputError, match="expected SSCD weights"):
        sscd_files.load(tmp_path / name, device=CPU)


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    state = shaken(sscd.create(TINY, seed=0)).state_dict()
    wrong: dict[str, object] = {
        r"conv1\.weight": {"patch_embed.proj.weight": torch.ones(1)},
        r"layer4\.1\.conv2\.weight": {n: v for n, v in state.items() if "layer4.1.conv2" not in n},
        "not a state dict": [1, 2],
        "bn1.weight with values that are not finite": {**state, "bn1.weight": torch.ones(8) / 0},
    }
    for found, value in wrong.items():
        torch.save(value, path)
        with pytest.raises(InputError, match=found):
            sscd_files.load(path, device=CPU)


def test_a_frozen_or_damaged_program_is_refused(tmp_path: Path) -> None:
    model = shaken(Torchvision(TINY))
    with pytest.raises(InputError, match="frozen"):
        sscd_files.load(traced(model, tmp_path / "f.pt", freeze=True), device=CPU)
    path = traced(model, tmp_path / "w.pt")
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut:
        for name in whole.namelist():
            data = whole.read(name)
            cut.writestr(name, data[:-4] if name.endswith("data/3") else data)
    with pytest.raises(InputError, match="storage 3 of another size"):
        sscd_files.load(tmp_path / "cut.pt", device=CPU)
