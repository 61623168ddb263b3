"""One training batch: crops, masks and the places they came from.

Shapes: B images of this rank, L local crops per image, N patches of a global crop, M masked
patches. Crops are crop-major: row c * B + i is crop c of image i.
"""

import dataclasses
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Everything one step needs, on one device. `make` fills in what follows from the masks."""

    global_crops: Tensor
    """(2 * B, 3, H, W) float, normalised, crop-major."""
    local_crops: Tensor
    """(L * B, 3, h, w) float, normalised, crop-major; L may be 0."""
    masks: Tensor
    """(2 * B, N) bool, True where the student sees the mask token."""
    mask_indices: Tensor
    """(M,) int64, masked positions in the flattened (2 * B * N) patches, ascending."""
    mask_weights: Tensor
    """(M,) float32, one over the number of masked patches of the same crop."""
    image_ids: Tensor
    """(B,) int64, image_id of the tables."""

    @classmethod
    def make(
        cls, *, global_crops: Tensor, local_crops: Tensor, masks: Tensor, image_ids: Tensor
    ) -> Self:
        """Compose a batch; mask indices and weights are derived from the masks."""
        assert len(global_crops) == len(masks) == 2 * len(image_ids), "two global crops per image"
        assert len(local_crops) % len(image_ids) == 0, "local crops per image differ"
        return cls(
            global_crops=global_crops,
            local_crops=local_crops,
            masks=masks,
            mask_indices=masks.flatten().nonzero().squeeze(1),
            mask_weights=mask_weights(masks),
            image_ids=image_ids,
        )

    @property
    def num_images(self) -> int:
        """B."""
        return len(self.image_ids)

    def to(self, device: torch.device | str) -> Self:
        """The same batch on another device; from pinned memory the copy does not wait."""
        moved = {
            field.name: getattr(self, field.name).to(device, non_blocking=True)
            for field in dataclasses.fields(self)
        }
        return type(self)(**moved)

    def pin_memory(self) -> Self:
        """The same batch in pinned memory (the name PyTorch's data loader looks for)."""
        pinned = {
            field.name: getattr(self, field.name).pin_memory() for field in dataclasses.fields(self)
        }
        return type(self)(**pinned)


def mask_weights(masks: Tensor) -> Tensor:
    """(C, N) bool -> (M,) float32: for every masked patch 1 / masked patches of its crop."""
    per_crop = 1 / masks.sum(dim=1).clamp_min(1)
    return per_crop[:, None].expand_as(masks)[masks].float()
