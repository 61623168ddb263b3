"""From images to one rank's batch of a step: views, masks, ids.

Shapes: B images of the step over all ranks, b of this rank, L local crops per image, S and s sides
of global and local crops, N patches of a global crop. Crops are crop-major (see `batch`).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sauropod.errors import InputError
from sauropod.train import augment, tensor_augment
from sauropod.train.batch import Batch
from sauropod.train.config import Crops, Objective
from sauropod.train.data import Loaded, Samples
from sauropod.train.masking import sample_masks
from sauropod.train.randomness import Purpose, keyed
from sauropod.train.tensor_augment import Table, tabulate
from sauropod.train.views import View, draw, scaled, shrink_factor


@dataclass(frozen=True)
class Cut:
    """A batch whose crops are still uint8 (C, S, S, 3): a quarter of the bytes to move."""

    batch: Batch

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`, with crops (C, 3, S, S) float32, normalised there."""
        moved = self.batch.to(device)
        return dataclasses.replace(
            moved,
            global_crops=augment.normalise(moved.global_crops.movedim(-1, 1)).contiguous(),
            local_crops=augment.normalise(moved.local_crops.movedim(-1, 1)).contiguous(),
        )

    def pin_memory(self) -> "Cut":
        """The same in pinned memory (the name PyTorch's data loader looks for)."""
        return Cut(self.batch.pin_memory())


@dataclass(frozen=True)
class Uncut:
    """A batch whose crops will be cut on the device: whole images, and what to do with them."""

    batch: Batch
    """Its crops have no pixels."""
    pixels: Tensor
    """(P, 3) uint8, of all images."""
    global_views: Table
    local_views: Table

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`, with crops (C, 3, S, S) float32, cut and normalised there."""
        pixels = self.pixels.to(device, non_blocking=True)
        return dataclasses.replace(
            self.batch.to(device),
            global_crops=tensor_augment.cut(pixels, self.global_views.to(device)),
            local_crops=tensor_augment.cut(pixels, self.local_views.to(device)),
        )

    def pin_memory(self) -> "Uncut":
        """The same in pinned memory (the name PyTorch's data loader looks for)."""
        return Uncut(
            self.batch.pin_memory(),
            pixels=self.pixels.pin_memory(),
            global_views=self.global_views.pin_memory(),
            local_views=self.local_views.pin_memory(),
        )


class MultiCrop:
    """This rank's data of any step: a pure function of the step."""

    def __init__(
        self,
        samples: Samples,
        *,
        crops: Crops,
        objective: Objective,
        patch_size: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        num_parts: int = 1,
    ) -> None:
        """Keep what every step needs.

        Args:
            samples: Images by position.
            crops: Sizes and numbers of the crops.
            objective: Probability and ratio of masks.
            patch_size: Side of a patch, pixels; divides the crops' sides.
            batch_size: B; a multiple of `world_size`.
            seed: Seed of views and masks.
            rank: This rank.
            world_size: Ranks.
            num_parts: Parts of a rank's step (gradient accumulation), of consecutive images.

        Raises:
            InputError: A size that does not divide, or knobs that exclude one another.
        """
        for name, side in (("global_size", crops.global_size), ("local_size", crops.local_size)):
            _check_divides(f"crops.{name}", side, patch_size, "the patch size")
        whole = world_size * num_parts * (objective.group_size or 1)
        what = "ranks times speed.accumulate times objective.group_size"
        _check_divides("optim.batch_size", batch_size, whole, what)
        if crops.draft and samples.cached:
            knob = "crops.draft"
            fix = "take the one or the other: what is kept must serve views that are not yet drawn"
            raise InputError(knob, expected="False with speed.cache", found="True", fix=fix)
        self.samples, self.crops, self.objective = samples, crops, objective
        self.batch_size, self.seed = batch_size, seed
        self.num_images, self.num_parts = batch_size // world_size, num_parts
        self.first = rank * self.num_images
        side = crops.global_size // patch_size
        self.grid = (side, side)

    def __call__(self, step: int) -> Loaded:
        """Decode, cut and mask the step's images."""
        positions = step * self.batch_size + self.first + np.arange(self.num_images)
        drawn = self.samples.images(positions, shrink=self._shrink if self.crops.draft else None)
        views = [
            scaled(self._draw(position, size), size=size, to=(image.shape[1], image.shape[0]))
            for position, size, image in zip(
                positions.tolist(), drawn.sizes, drawn.images, strict=True
            )
        ]
        make = self._uncut if self.crops.engine == "tensor" else self._cut
        b, n = self.num_images, self.num_images // self.num_parts
        masks = torch.from_numpy(self._masks(step)).unflatten(0, (2, b))
        ids = torch.from_numpy(drawn.image_ids)
        parts = tuple(
            make(
                drawn.images[i : i + n],
                views[i : i + n],
                masks=masks[:, i : i + n].flatten(0, 1),
                image_ids=ids[i : i + n],
            )
            for i in range(0, b, n)
        )
        return Loaded(parts, num_images=b, replaced=drawn.replaced)

    def _draw(self, position: int, size: tuple[int, int]) -> tuple[View, ...]:
        generator = keyed(self.seed, purpose=Purpose.VIEWS, counter=position)
        return draw(generator, width=size[0], height=size[1], crops=self.crops)

    def _shrink(self, position: int, *, width: int, height: int) -> int:
        """How many times smaller an image may be decoded without enlarging a view."""
        return shrink_factor(self._draw(position, (width, height)), size=(width, height))

    def _cut(
        self,
        images: list[np.ndarray],
        views: list[tuple[View, ...]],
        *,
        masks: Tensor,
        image_ids: Tensor,
    ) -> Cut:
        crops, B = self.crops, len(images)
        assert crops.engine != "tensor"
        S, s = crops.global_size, crops.local_size
        global_crops = np.empty((2, B, S, S, 3), np.uint8)
        local_crops = np.empty((crops.num_local, B, s, s, 3), np.uint8)
        for i, (image, own) in enumerate(zip(images, views, strict=True)):
            for place, view in zip([*global_crops[:, i], *local_crops[:, i]], own, strict=True):
                place[:] = augment.apply(image, view, engine=crops.engine)
        batch = Batch.make(
            global_crops=torch.from_numpy(global_crops).flatten(0, 1),
            local_crops=torch.from_numpy(local_crops).flatten(0, 1),
            masks=masks,
            image_ids=image_ids,
        )
        return Cut(batch)

    def _uncut(
        self,
        images: list[np.ndarray],
        views: list[tuple[View, ...]],
        *,
        masks: Tensor,
        image_ids: Tensor,
    ) -> Uncut:
        crops, B = self.crops, len(images)
        batch = Batch.make(
            global_crops=torch.empty(2 * B, 0),
            local_crops=torch.empty(crops.num_local * B, 0),
            masks=masks,
            image_ids=image_ids,
        )
        crop_major = list(zip(*views, strict=True))
        return Uncut(
            batch,
            pixels=tensor_augment.flatten(images),
            global_views=tabulate(crop_major[:2], images=images, size=crops.global_size),
            local_views=tabulate(crop_major[2:], images=images, size=crops.local_size),
        )

    def _masks(self, step: int) -> np.ndarray:
        """(2 * b, N) bool: masks of this rank's global crops.

        Groups of `group_size` images are masked each as a batch of its own, named by its number in
        the whole batch; without groups the whole batch is one, of which a rank takes its share.
        """
        key = (self.seed, int(Purpose.MASKS), step)
        G, b = self.objective.group_size, self.num_images
        if not G:
            mine = self.first + np.arange(b)
            crops = np.concatenate([mine, self.batch_size + mine]).tolist()
            return self._sample_masks(key, crops=crops, num_crops=2 * self.batch_size)
        groups = range(self.first // G, (self.first + b) // G)
        masks = [
            self._sample_masks((*key, group), crops=range(2 * G), num_crops=2 * G)
            for group in groups
        ]
        # (groups, 2 * G, N) -> crop-major (2, groups * G, N) -> (2 * b, N)
        return np.stack(masks).reshape(len(groups), 2, G, -1).swapaxes(0, 1).reshape(2 * b, -1)

    def _sample_masks(
        self, key: tuple[int, ...], *, crops: Sequence[int], num_crops: int
    ) -> np.ndarray:
        return sample_masks(
            key,
            crops=crops,
            num_crops=num_crops,
            grid=self.grid,
            probability=self.objective.mask_probability,
            ratio=self.objective.mask_ratio,
            exact=self.objective.exact_masks,
        )


def _check_divides(knob: str, value: int, divisor: int, what: str) -> None:
    if value % divisor:
        raise InputError(
            knob,
            expected=f"a multiple of {what}, {divisor}",
            found=str(value),
            fix=f"use {value - value % divisor or divisor}",
        )
