"""Projection head of DINO and iBOT: an MLP to a unit-norm bottleneck, then K prototypes.

Shapes: M rows (class tokens or patch tokens), D width of the backbone, K prototypes. Section 4
of arXiv 2304.07193; the head is that of DINO (arXiv 2104.14294, appendix C). Parameter names are
Meta's.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sauropod.train.config import Heads


class Prototypes(nn.Module):
    """Weight-normed linear map without bias: row k is weight_g[k] * weight_v[k] / |weight_v[k]|."""

    def __init__(self, *, bottleneck_dim: int, num_prototypes: int) -> None:
        """Lay the parameters out."""
        super().__init__()
        self.weight_g = nn.Parameter(torch.empty(num_prototypes, 1))
        self.weight_v = nn.Parameter(torch.empty(num_prototypes, bottleneck_dim))

    def forward(self, x: Tensor) -> Tensor:
        """(M, bottleneck) -> (M, K)."""
        norm = self.weight_v.norm(dim=1, keepdim=True)
        return F.linear(x, self.weight_g * (self.weight_v / norm))


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
    ) -> None:
        """Lay the parameters out; they are uninitialised until `init_weights` or a load."""
        super().__init__()
        self.num_prototypes = num_prototypes
        dims = [in_dim, *[hidden_dim] * (num_layers - 1), bottleneck_dim]
        layers: list[nn.Module] = []
        for a, b in itertools.pairwise(dims):
            layers += [nn.Linear(a, b), nn.GELU()]
        self.mlp = nn.Sequential(*layers[:-1])  # no GELU after the last
        self.last_layer = Prototypes(bottleneck_dim=bottleneck_dim, num_prototypes=num_prototypes)

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

    def forward(self, x: Tensor) -> Tensor:
        """(M, D) -> (M, K) scores, cosine similarities times the prototypes' gains."""
        x = self.mlp(x)
        # 1e-12 would vanish in fp16; the other types take the tighter bound.
        x = F.normalize(x, dim=-1, eps=1e-6 if x.dtype == torch.float16 else 1e-12)
        return self.last_layer(x)


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
