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
