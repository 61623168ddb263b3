"""SSCD, the copy-detection descriptor: ResNet trunk, GeM pooling, one linear layer, L2 norm.

Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", CVPR 2022, section 4.1.
Parameter names are torchvision's (`conv1`, `layer1.0.bn2`, `fc`); `sscd_files` reads and writes.

Shapes: B images, H x W pixels, C channels of the trunk's last map, D descriptor width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sauropod.config import SscdArch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BLOCKS_PER_STAGE = {
    "resnet18": (2, 2, 2, 2),
    "resnet50": (3, 4, 6, 3),
    "resnext101": (3, 4, 23, 3),
}
RESNEXT_GROUPS = 32


def gem(x: Tensor, *, p: float, eps: float = 1e-6) -> Tensor:
    """Generalised mean over the map: (mean of x^p)^(1/p), x clamped at `eps` (section 4.1).

    (B, C, H, W) -> (B, C), same dtype. p = 1 is the average, p -> infinity the maximum.
    """
    return x.clamp(min=eps).pow(p).mean(dim=(2, 3)).pow(1 / p)


class Block(nn.Module):
    """Residual block: two 3x3 convolutions (resnet18) or 1x1, 3x3, 1x1 (the others)."""

    def __init__(self, inputs: int, width: int, *, stride: int, trunk: str) -> None:
        """Take the channels that come in and the stage's width; a bottleneck puts out 4 x width."""
        super().__init__()
        bottleneck = trunk != "resnet18"
        outputs = width * 4 if bottleneck else width
        # ResNeXt 32x4d: 32 groups of 4 channels in the first stage, in all twice the width.
        groups, middle = (RESNEXT_GROUPS, 2 * width) if trunk == "resnext101" else (1, width)
        # torchvision strides in the 3x3 convolution of a bottleneck ("ResNet V1.5").
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        strides = (1, stride, 1) if bottleneck else (stride, 1)
        widths = (inputs, middle, middle, outputs) if bottleneck else (inputs, width, outputs)
        for i, (kernel, step) in enumerate(zip(kernels, strides, strict=True), start=1):
            parts = groups if kernel == 3 else 1
            into, out = widths[i - 1], widths[i]
            conv = nn.Conv2d(into, out, kernel, step, kernel // 2, groups=parts, bias=False)
            self.add_module(f"conv{i}", conv)
            self.add_module(f"bn{i}", nn.BatchNorm2d(out))
        self.depth = len(kernels)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride)."""
        out = x
        for i in range(1, self.depth + 1):
            out = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(out))
            if i < self.depth:
                out = F.relu(out)
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Sscd(nn.Module):
    """Trunk + GeM + linear; `forward` gives L2-normalised descriptors."""

    def __init__(self, arch: SscdArch) -> None:
        """Build uninitialised layers; `create` or `sscd_files.load` fills them."""
        super().__init__()
        self.arch = arch
        self.conv1 = nn.Conv2d(3, arch.width, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(arch.width)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        inputs = arch.width
        for i, count in enumerate(BLOCKS_PER_STAGE[arch.trunk]):
            width = arch.width * 2**i
            blocks = []
            for j in range(count):
                stride = 2 if i > 0 and j == 0 else 1
                blocks.append(Block(inputs, width, stride=stride, trunk=arch.trunk))
                inputs = width if arch.trunk == "resnet18" else width * 4
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, arch.dim)

    def forward(self, x: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) -> descriptors (B, D) of length one."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        for i in range(1, 5):
            x = self.get_submodule(f"layer{i}")(x)
        return F.normalize(self.fc(gem(x, p=self.arch.gem_p)))


def create(arch: SscdArch, *, seed: int) -> Sscd:
    """Freshly initialised network (He trunk, Xavier projection, zero last scale of each block).

    Zero-initialised residuals are what keeps a large entropy weight stable (section 4.3).
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        model = Sscd(arch)
    model.to_empty(device="cpu")
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    for module in model.modules():
        if isinstance(module, Block):
            nn.init.zeros_(module.get_submodule(f"bn{module.depth}").get_parameter("weight"))
    nn.init.xavier_uniform_(model.fc.weight, generator=generator)
    nn.init.zeros_(model.fc.bias)
    return model


@torch.no_grad()
def whiten(model: Sscd, outputs: Tensor, *, shrinkage: float) -> None:
    """Fold a whitening of the projection's outputs into the projection, in place.

    The paper whitens with a PCA learnt on training images before comparing (section 5.3). Folded
    into the linear layer it costs nothing at inference: descriptors of unrelated images then
    scatter about cosine 0, which is what gives fixed thresholds their meaning.

    Args:
        model: Network to change.
        outputs: (n, D) float, what `model.fc` gave for a sample of images.
        shrinkage: Share of the mean variance added to every variance; large leaves only the
            centring, 0 whitens fully and amplifies noise.
    """
    values = outputs.double()
    mean, covariance = values.mean(dim=0), torch.cov(values.t())
    variances, axes = torch.linalg.eigh(covariance.reshape(len(mean), len(mean)))
    # Fewer images than dimensions leave some without variance: they must not become infinite.
    floor = variances.mean() * max(shrinkage, 1e-9)
    scales = (variances.clamp(min=0) + floor).rsqrt()
    turn = (axes * scales) @ axes.t()
    weight, bias = model.fc.weight, model.fc.bias
    bias.copy_(turn.to(bias) @ (bias - mean.to(bias)))
    weight.copy_(turn.to(weight) @ weight)
