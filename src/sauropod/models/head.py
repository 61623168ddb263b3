"""Projection head of DINO and iBOT: an MLP to a unit-norm bottleneck, then K prototypes.

Shapes: M rows (class tokens or patch tokens), D width of the backbone, b width of the bottleneck,
K prototypes. Section 4 of arXiv 2304.07193; the head is that of DINO (arXiv 2104.14294, appendix
C). Parameter names are Meta's.
"""

import itertools
import sys
from collections.abc import Iterator
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sauropod.train.config import Heads


class Scores(NamedTuple):
    """Scores of M rows against K prototypes, as the two factors of their product.

    At K = 131,072 the product is gigabytes per batch; whoever needs it multiplies out some rows at
    a time.
    """

    features: Tensor
    """(M, b), rows of unit length."""
    prototypes: Tensor
    """(K, b)."""

    def times(self, scale: float, *, plus: Tensor | None = None) -> Tensor:
        """Multiply out: (M, K) float32, scale * scores + plus; `plus` is (K,) float32."""
        x, w = self.features, self.prototypes
        if x.dtype == torch.float32:
            start = x.new_zeros(1) if plus is None else plus
            return torch.addmm(start, x, w.t(), alpha=scale, beta=0 if plus is None else 1)
        product = (x @ w.t()).float().mul_(scale)
        return product if plus is None else product.add_(plus)

    def split(self, sizes: list[int]) -> list[Self]:
        """Consecutive rows of these sizes."""
        parts = self.features.split(sizes)
        return [type(self)(features, self.prototypes) for features in parts]

    def chunks(self, max_bytes: int) -> Iterator[Self]:
        """Consecutive rows whose products stay below `max_bytes` (0: no limit)."""
        at_once = rows_within(max_bytes, num_prototypes=len(self.prototypes))
        for features in self.features.split(min(at_once, max(len(self.features), 1))):
            yield type(self)(features, self.prototypes)


def rows_within(max_bytes: int, *, num_prototypes: int) -> int:
    """Rows of float32 scores that fit into `max_bytes`, at least one; 0 bytes means no limit."""
    return max(max_bytes // (4 * num_prototypes), 1) if max_bytes else sys.maxsize


class Prototypes(nn.Module):
    """Weight-normed linear map without bias: row k is weight_g[k] * weight_v[k] / |weight_v[k]|."""

    def __init__(self, *, bottleneck_dim: int, num_prototypes: int, train_gains: bool) -> None:
        """Lay the parameters out; `train_gains` False keeps `weight_g` as it is."""
        super().__init__()
        self.weight_g = nn.Parameter(torch.empty(num_prototypes, 1), requires_grad=train_gains)
        self.weight_v = nn.Parameter(torch.empty(num_prototypes, bottleneck_dim))

    def forward(self) -> Tensor:
        """The prototypes: (K, bottleneck)."""
        # What nn.utils.weight_norm calls: one pass each way.
        return torch._weight_norm(self.weight_v, self.weight_g, 0)  # pyright: ignore


class Head(nn.Module):
    """Linear-GELU-...-Linear, L2 normalisation, prototypes."""

    def __init__(
        self,
        *,
        in_dim: int,
        num_prototypes: int,
        hidden_dim: int,
        bottleneck_dim: int,
        num_layers: int = 3,
        train_gains: bool = True,
    ) -> None:
        """Lay the parameters out; they are uninitialised until `init_weights` or a load."""
        super().__init__()
        self.num_prototypes = num_prototypes
        dims = [in_dim, *[hidden_dim] * (num_layers - 1), bottleneck_dim]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(dims):
            layers += [nn.Linear(a, b), nn.GELU()]
        self.mlp = nn.Sequential(*layers[:-1])  # no GELU after the last
        self.last_layer = Prototypes(
            bottleneck_dim=bottleneck_dim, num_prototypes=num_prototypes, train_gains=train_gains
        )

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """Truncated normal 0.02 for the MLP, PyTorch's linear default for prototypes, gains 1."""
        for module in self.mlp:
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02, generator=generator)
                nn.init.zeros_(module.bias)
        bound = self.last_layer.weight_v.shape[1] ** -0.5
        nn.init.uniform_(self.last_layer.weight_v, -bound, bound, generator=generator)
        nn.init.ones_(self.last_layer.weight_g)

    def forward(self, x: Tensor) -> Scores:
        """(M, D) -> scores against K prototypes: cosine similarities times the prototypes' gains.

        Both factors come in the dtype of the matrix products around them (autocast's, if on).
        """
        x = self.mlp(x)
        # 1e-12 would vanish in fp16; the other types take the tighter bound.
        eps = 1e-6 if x.dtype == torch.float16 else 1e-12
        return Scores(F.normalize(x, dim=-1, eps=eps).to(x.dtype), self.last_layer().to(x.dtype))


def build_heads(knobs: Heads, *, embed_dim: int, seed: int = 0) -> nn.ModuleDict:
    """Make `dino_head` and, when separate, `ibot_head` with freshly drawn fp32 weights.

    The global random state is neither read nor advanced: equal knobs and seed give equal weights.
    """
    with torch.device("meta"):
        heads = make_heads(knobs, embed_dim=embed_dim)
    heads.to_empty(device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for head in heads.values():
        assert isinstance(head, Head)
        head.init_weights(generator)
    return heads


def make_heads(knobs: Heads, *, embed_dim: int) -> nn.ModuleDict:
    """Lay out `dino_head` and, when separate, `ibot_head`; weights are uninitialised."""
    shared = {
        "in_dim": embed_dim,
        "hidden_dim": knobs.hidden_dim,
        "num_layers": knobs.num_layers,
        "train_gains": knobs.train_gains,
    }
    heads = {
        "dino_head": Head(
            num_prototypes=knobs.num_prototypes, bottleneck_dim=knobs.bottleneck_dim, **shared
        )
    }
    if knobs.separate_ibot:
        heads["ibot_head"] = Head(
            num_prototypes=knobs.ibot_num_prototypes,
            bottleneck_dim=knobs.ibot_bottleneck_dim,
            **shared,
        )
    return nn.ModuleDict(heads)
