"""Batches: what follows from the masks."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sauropod.train.batch import Batch, mask_weights

Golden = Callable[[str], dict[str, Tensor]]


def test_indices_and_weights_match_the_reference(golden: Golden) -> None:
    g = golden("masking")
    batch = Batch.make(
        global_crops=torch.zeros(8, 3, 2, 2),
        local_crops=torch.zeros(12, 3, 1, 1),
        masks=g["collate/masks"],
        image_ids=torch.arange(4),
    )
    assert torch.equal(batch.mask_indices, g["collate/mask_indices_list"])
    assert torch.equal(batch.mask_weights, g["collate/masks_weight"])
    assert batch.num_images == 4
    moved = batch.to("meta")
    assert moved.masks.device.type == "meta"
    assert moved.mask_indices.shape == batch.mask_indices.shape


def test_weights_of_a_crop_sum_to_one_or_nothing() -> None:
    masks = torch.tensor([[True, True, False], [False, False, False], [True, False, False]])
    assert mask_weights(masks).tolist() == [0.5, 0.5, 1.0]


def test_crops_must_fit_the_images() -> None:
    ids, masks = torch.arange(2), torch.zeros(4, 4, dtype=torch.bool)
    crops, locals_ = torch.zeros(4, 3, 2, 2), torch.zeros(3, 3, 1, 1)
    with pytest.raises(AssertionError, match="two global crops"):
        Batch.make(global_crops=crops[:3], local_crops=locals_, masks=masks, image_ids=ids)
    with pytest.raises(AssertionError, match="local crops"):
        Batch.make(global_crops=crops, local_crops=locals_, masks=masks, image_ids=ids)


def test_parts_hold_consecutive_images_with_all_their_crops() -> None:
    def labelled(crops: int) -> torch.Tensor:  # crop c of image i is 10 * c + i
        return (10 * torch.arange(crops)[:, None] + torch.arange(4)).flatten()[:, None, None, None]

    masks = torch.rand(8, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    ids = torch.arange(4) + 100
    whole = Batch.make(
        global_crops=labelled(2), local_crops=labelled(3), masks=masks, image_ids=ids
    )
    first, second = whole.split(2)
    assert first.global_crops.flatten().tolist() == [0, 1, 10, 11]
    assert second.global_crops.flatten().tolist() == [2, 3, 12, 13]
    assert second.local_crops.flatten().tolist() == [2, 3, 12, 13, 22, 23]
    assert torch.equal(second.masks, masks[[2, 3, 6, 7]])
    assert second.image_ids.tolist() == [102, 103]
    assert len(first.mask_indices) + len(second.mask_indices) == len(whole.mask_indices)
    none = Batch.make(
        global_crops=labelled(2), local_crops=torch.zeros(0, 1, 1, 1), masks=masks, image_ids=ids
    )
    assert [len(part.local_crops) for part in none.split(4)] == [0] * 4
    assert whole.split(1) == [whole]
