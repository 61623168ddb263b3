"""Batches do not depend on who makes them: ranks share out one batch of the step."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from sauropod.errors import InputError
from sauropod.train.batch import Batch
from sauropod.train.config import Crops, Objective
from sauropod.train.data import Samples, batches, read_manifest
from sauropod.train.multicrop import MultiCrop

MakeManifest = Callable[..., Path]
CROPS = Crops(global_size=16, local_size=8, num_local=3)


def multicrop(manifest: Path, **changes: object) -> MultiCrop:
    knobs = {
        "crops": CROPS,
        "objective": Objective(),
        "patch_size": 4,
        "batch_size": 6,
        "seed": 2,
        **changes,
    }
    return MultiCrop(Samples(read_manifest(manifest), seed=2), **knobs)


def batch_of(load: MultiCrop, step: int) -> Batch:
    return load(step).parts[0].to(torch.device("cpu"))


@pytest.mark.parametrize("engine", ["pillow", "cv2", "tensor"])
@pytest.mark.parametrize("num_local", [0, 3])
def test_shapes_and_normalisation(make_manifest: MakeManifest, engine: str, num_local: int) -> None:
    crops = dataclasses.replace(CROPS, engine=engine, num_local=num_local)
    loaded = multicrop(make_manifest(), crops=crops)(0)
    batch = loaded.parts[0].to(torch.device("cpu"))
    assert loaded.num_images == 6
    assert batch.global_crops.shape == (12, 3, 16, 16)
    assert batch.local_crops.shape == (6 * num_local, 3, 8, 8)
    assert batch.masks.shape == (12, 16)
    assert batch.global_crops.dtype == torch.float32
    assert batch.global_crops.is_contiguous()
    # ImageNet's mean and deviation put black at -2.1 and white at 2.6.
    assert -2.2 < batch.global_crops.min() < 0 < batch.global_crops.max() < 2.7


@pytest.mark.parametrize("number", [2, 3])
@pytest.mark.parametrize("of", ["ranks", "parts"])
@pytest.mark.parametrize("engine", ["cv2", "tensor"])
def test_ranks_and_parts_share_out_the_batch_of_one(
    make_manifest: MakeManifest, number: int, of: str, engine: str
) -> None:
    manifest = make_manifest()
    crops = dataclasses.replace(CROPS, engine=engine)
    whole = batch_of(multicrop(manifest, crops=crops), 5)
    if of == "ranks":
        parts = [
            batch_of(multicrop(manifest, crops=crops, rank=rank, world_size=number), 5)
            for rank in range(number)
        ]
    else:
        loaded = multicrop(manifest, crops=crops, num_parts=number)(5)
        parts = [part.to(torch.device("cpu")) for part in loaded.parts]
    for name in ("image_ids", "global_crops", "local_crops", "masks"):
        expected = getattr(whole, name)
        views = {"global_crops": 2, "masks": 2, "local_crops": 3}.get(name, 1)
        crop_major = [getattr(part, name).unflatten(0, (views, -1)) for part in parts]
        got = torch.cat(crop_major, dim=1).flatten(0, 1)
        assert torch.equal(got, expected), name


def test_the_engines_make_the_same_views(make_manifest: MakeManifest) -> None:
    manifest = make_manifest()
    exact, *others = (
        batch_of(multicrop(manifest, crops=dataclasses.replace(CROPS, engine=engine)), 1)
        for engine in ("pillow", "tensor", "cv2")
    )
    for other, near in zip(others, (0.02, 0.2), strict=True):
        for name in ("global_crops", "local_crops"):
            assert (getattr(exact, name) - getattr(other, name)).abs().mean() < near, name
        for name in ("masks", "mask_indices", "mask_weights", "image_ids"):
            assert torch.equal(getattr(exact, name), getattr(other, name)), name


@pytest.mark.parametrize("engine", ["cv2", "tensor"])
def test_workers_change_nothing(make_manifest: MakeManifest, engine: str) -> None:
    load = multicrop(make_manifest(bad=(3,)), crops=dataclasses.replace(CROPS, engine=engine))
    alone, shared = (list(batches(load, start=2, stop=6, num_workers=n)) for n in (0, 2))
    for mine, theirs in zip(alone, shared, strict=True):
        assert mine.replaced == theirs.replaced
        one, two = (loaded.parts[0].to(torch.device("cpu")) for loaded in (mine, theirs))
        for field in dataclasses.fields(one):
            assert torch.equal(getattr(one, field.name), getattr(two, field.name)), field.name


class TestDraft:
    CROPS = Crops(global_size=16, local_size=8, num_local=3, local_scale=(0.2, 0.5))

    @pytest.mark.parametrize("engine", ["pillow", "cv2", "tensor"])
    def test_views_are_the_same_from_fewer_pixels(
        self, make_manifest: MakeManifest, engine: str
    ) -> None:
        manifest = make_manifest(size=300)
        crops = dataclasses.replace(self.CROPS, engine=engine)
        load = multicrop(manifest, crops=dataclasses.replace(crops, draft=True))
        drawn = load.samples.images(np.arange(6), shrink=load._shrink)
        assert {len(image) for image in drawn.images} <= {38, 75, 150}
        smaller, whole = batch_of(load, 0), batch_of(multicrop(manifest, crops=crops), 0)
        assert torch.equal(smaller.image_ids, whole.image_ids)
        for name in ("global_crops", "local_crops"):
            # Of pictures as smooth as these little is lost; a level is 0.017.
            difference = getattr(smaller, name) - getattr(whole, name)
            assert difference.abs().mean() < 0.2, name

    def test_small_images_are_decoded_whole(self, make_manifest: MakeManifest) -> None:
        manifest = make_manifest(size=24)
        whole, draft = (
            batch_of(multicrop(manifest, crops=dataclasses.replace(self.CROPS, draft=draft)), 0)
            for draft in (False, True)
        )
        assert torch.equal(whole.global_crops, draft.global_crops)
        assert torch.equal(whole.local_crops, draft.local_crops)

    def test_bad_rows_are_the_same(self, make_manifest: MakeManifest) -> None:
        manifest = make_manifest(size=300, bad=(0, 4))
        whole, draft = (
            multicrop(manifest, crops=dataclasses.replace(self.CROPS, draft=draft))
            for draft in (False, True)
        )
        for step in range(2):
            one, two = whole(step), draft(step)
            assert one.replaced == two.replaced
            assert torch.equal(one.parts[0].batch.image_ids, two.parts[0].batch.image_ids)

    def test_it_excludes_the_cache(self, make_manifest: MakeManifest) -> None:
        samples = Samples(read_manifest(make_manifest()), seed=2, cache=True)
        with pytest.raises(InputError, match=r"crops\.draft: expected False with speed\.cache"):
            MultiCrop(
                samples,
                crops=Crops(draft=True),
                objective=Objective(),
                patch_size=14,
                batch_size=6,
                seed=2,
            )


class TestGroups:
    """Masks of groups of images: as on the reference's GPUs, whatever the ranks."""

    OBJECTIVE = Objective(group_size=2, mask_ratio=(0.2, 0.8))

    def masks(self, manifest: Path, *, step: int, **changes: object) -> torch.Tensor:
        changes = {"objective": self.OBJECTIVE, **changes}
        return batch_of(multicrop(manifest, **changes), step).masks.unflatten(0, (2, -1))

    def test_every_group_is_a_batch_of_its_own(self, make_manifest: MakeManifest) -> None:
        masks = self.masks(make_manifest(), step=3)
        for group in range(3):
            counts = masks[:, 2 * group : 2 * group + 2].sum(dim=-1).flatten().sort().values
            assert counts[:2].tolist() == [0, 0]
            low, high = counts[2:].tolist()  # one in each half of 3 to 12 patches of 16
            assert 0 < low <= 8 <= high + 4 <= 16
        assert not torch.equal(masks[:, :2], masks[:, 2:4])

    @pytest.mark.parametrize("exact", [False, True])
    def test_they_do_not_depend_on_ranks(self, make_manifest: MakeManifest, exact: bool) -> None:
        manifest = make_manifest()
        objective = dataclasses.replace(self.OBJECTIVE, exact_masks=exact)
        whole = self.masks(manifest, step=4, objective=objective)
        parts = [
            self.masks(manifest, step=4, objective=objective, rank=rank, world_size=3)
            for rank in range(3)
        ]
        assert torch.equal(torch.cat(parts, dim=1), whole)

    def test_exact_masks_keep_shapes_constant(self, make_manifest: MakeManifest) -> None:
        manifest = make_manifest()
        objective = dataclasses.replace(self.OBJECTIVE, exact_masks=True)
        numbers = {
            len(
                batch_of(multicrop(manifest, objective=objective, rank=r, world_size=3), step)
                .masks.flatten()
                .nonzero()
            )
            for step in range(6)
            for r in range(3)
        }
        assert numbers == {int(16 * 0.5) + int(16 * 0.8)}

    def test_ranks_must_hold_whole_groups(self, make_manifest: MakeManifest) -> None:
        with pytest.raises(InputError, match=r"optim\.batch_size.*ranks times.* 6; use 4"):
            multicrop(make_manifest(), objective=self.OBJECTIVE, world_size=2)


def test_steps_go_through_the_manifest_once_per_epoch(make_manifest: MakeManifest) -> None:
    load = multicrop(make_manifest())
    first, second, third = (batch_of(load, step).image_ids.tolist() for step in range(3))
    assert sorted(first + second) == list(range(1000, 1012))
    assert third != first


def test_views_of_an_image_differ_between_epochs_and_seeds(make_manifest: MakeManifest) -> None:
    manifest = make_manifest(count=6)
    one, later = (batch_of(multicrop(manifest), step) for step in (0, 1))
    places = [one.image_ids.tolist().index(i) for i in later.image_ids.tolist()]
    assert not torch.equal(one.global_crops[places], later.global_crops[:6])
    other = batch_of(multicrop(manifest, seed=3), 0)
    assert torch.equal(one.image_ids, other.image_ids)  # the order is that of the samples' seed
    assert not torch.equal(one.global_crops, other.global_crops)
    assert not torch.equal(one.masks, other.masks)


@pytest.mark.parametrize(
    ("changes", "knob"),
    [
        ({"crops": Crops(global_size=18, local_size=8)}, r"crops\.global_size.* 18; use 16"),
        ({"crops": Crops(global_size=16, local_size=6)}, r"crops\.local_size.* 6; use 4"),
        ({"batch_size": 7, "world_size": 2}, r"optim\.batch_size.* 7; use 6"),
    ],
)
def test_sizes_that_do_not_divide(
    make_manifest: MakeManifest, changes: dict[str, object], knob: str
) -> None:
    with pytest.raises(InputError, match=knob):
        multicrop(make_manifest(), **changes)
