"""Order, replacement and refusal: what the manifest says is what is trained on."""

import dataclasses
import logging
import os
import signal
from collections import Counter
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod import io, schema, streaming
from sauropod.errors import InputError
from sauropod.train import data
from sauropod.train.data import Samples, order, read_manifest

MakeManifest = Callable[..., Path]


class TestOrder:
    @settings(max_examples=30, deadline=None)
    @given(num_rows=st.integers(1, 700), seed=st.integers(0, 2**40), epoch=st.integers(0, 50))
    def test_an_epoch_is_a_permutation(self, num_rows: int, seed: int, epoch: int) -> None:
        positions = epoch * num_rows + np.arange(num_rows)
        rows = order(positions, num_rows=num_rows, seed=seed)
        assert np.array_equal(np.sort(rows), np.arange(num_rows))

    def test_any_part_is_the_part_of_the_whole(self) -> None:
        whole = order(np.arange(250), num_rows=100, seed=3)
        picked = np.array([249, 0, 99, 100, 57])
        assert np.array_equal(order(picked, num_rows=100, seed=3), whole[picked])

    def test_epochs_and_seeds_differ(self) -> None:
        first, second = order(np.arange(200), num_rows=100, seed=3).reshape(2, 100)
        assert (first != second).sum() > 90
        assert (first != order(np.arange(100), num_rows=100, seed=4)).sum() > 90

    def test_it_shuffles(self) -> None:
        n = 4000
        rows = order(np.arange(n), num_rows=n, seed=0)
        assert abs(np.corrcoef(rows, np.arange(n))[0, 1]) < 0.05
        # Neighbours in a shuffled list are neighbours of rank with probability 2 / n.
        assert (np.abs(np.diff(rows)) == 1).mean() < 0.005
        eighths = Counter(zip(np.arange(n) * 8 // n, rows * 8 // n, strict=True))
        assert len(eighths) == 64
        assert max(eighths.values()) < 62.5 + 5 * 62.5**0.5

    def test_a_billion_rows_cost_nothing(self) -> None:
        rows = order(np.array([0, 10**9 - 1, 10**9]), num_rows=10**9, seed=0)
        assert ((rows >= 0) & (rows < 10**9)).all()


class TestManifest:
    def test_rows_are_where_the_images_are(self, make_manifest: MakeManifest) -> None:
        path = make_manifest(count=3)
        rows = read_manifest(path)
        frame = schema.read(path, schema.MANIFEST)
        assert len(rows) == 3
        assert rows.image_id.tolist() == [1000, 1001, 1002]
        assert [str(rows.tars[i]) for i in rows.tar] == frame["tar"].to_list()
        assert rows.offset.tolist() == frame["offset"].to_list()

    def test_row_groups_are_joined_and_all_their_tars_checked(
        self, tmp_path: Path, make_manifest: MakeManifest
    ) -> None:
        path = make_manifest(count=5)
        frame, whole = schema.read(path, schema.MANIFEST), read_manifest(path)
        made_by = io.stamp("manifest", knobs={}, inputs=[])
        parts = tmp_path / "parts.parquet"
        streaming.write(frame.iter_slices(2), parts, schema.MANIFEST, made_by=made_by)
        found = read_manifest(parts)
        assert found.tars == whole.tars
        for name in ("image_id", "tar", "offset", "num_bytes"):
            assert np.array_equal(getattr(found, name), getattr(whole, name))
        wrong = [frame[:4], frame[4:].with_columns(sha256=pl.lit("0" * 64))]
        streaming.write(wrong, parts, schema.MANIFEST, made_by=made_by)
        with pytest.raises(InputError, match="other bytes"):
            read_manifest(parts)

    def test_rows_of_several_tars_keep_their_tar(
        self, tmp_path: Path, make_manifest: MakeManifest
    ) -> None:
        one = schema.read(make_manifest(count=4), schema.MANIFEST)
        tar = tmp_path / "other.tar"
        Path(one["tar"][0]).rename(tar)
        make_manifest(count=4)
        other = one.with_columns(tar=pl.lit(str(tar)))
        both = pl.concat([one, other])[[0, 4, 1, 5, 7]]
        made_by = io.stamp("manifest", knobs={}, inputs=[])
        schema.write(both, tmp_path / "both.parquet", schema.MANIFEST, made_by=made_by)
        rows = read_manifest(tmp_path / "both.parquet")
        assert [str(rows.tars[i]) for i in rows.tar] == both["tar"].to_list()

    def test_no_rows(self, tmp_path: Path) -> None:
        frame = pl.DataFrame(schema=schema.MANIFEST.columns)
        made_by = io.stamp("manifest", knobs={}, inputs=[])
        schema.write(frame, tmp_path / "m.parquet", schema.MANIFEST, made_by=made_by)
        with pytest.raises(InputError, match="0 rows"):
            read_manifest(tmp_path / "m.parquet")

    def test_tar_moved(self, make_manifest: MakeManifest) -> None:
        path = make_manifest()
        tar = path.parent / "pool-00000.tar"
        tar.rename(path.parent / "elsewhere.tar")
        with pytest.raises(InputError, match=r"pool-00000\.tar: expected a tar .* no such file"):
            read_manifest(path)

    def test_tar_shrank(self, make_manifest: MakeManifest) -> None:
        path = make_manifest()
        tar = path.parent / "pool-00000.tar"
        tar.write_bytes(tar.read_bytes()[:5000])
        with pytest.raises(InputError, match="found 5000 bytes"):
            read_manifest(path)

    @pytest.mark.parametrize("row", [0, -1])
    def test_tar_changed(self, make_manifest: MakeManifest, row: int) -> None:
        path = make_manifest()
        offset = schema.read(path, schema.MANIFEST)["offset"][row]
        with (path.parent / "pool-00000.tar").open("r+b") as tar:
            tar.seek(offset + 100)
            tar.write(b"other bytes")
        with pytest.raises(InputError, match=rf"image of sha256 .* at byte {offset}, found other"):
            read_manifest(path)

    def test_tar_written_again_with_more_images(self, make_manifest: MakeManifest) -> None:
        path = make_manifest()
        tar = path.parent / "pool-00000.tar"
        old = tar.read_bytes()
        with io.TarWriter(tar) as writer:
            writer.add("new.jpg", b"a new first image")
        tar.write_bytes(tar.read_bytes()[:1024] + old)
        with pytest.raises(InputError, match=r"pool-00000\.tar: .* found other bytes"):
            read_manifest(path)


class TestSamples:
    def test_images_come_in_the_order_of_positions(self, make_manifest: MakeManifest) -> None:
        samples = Samples(read_manifest(make_manifest()), seed=1)
        positions = np.arange(12)
        drawn = samples.images(positions)
        assert drawn.replaced == 0
        expected = 1000 + order(positions, num_rows=12, seed=1)
        assert np.array_equal(drawn.image_ids, expected)
        assert {image.shape for image in drawn.images} == {(40, 40, 3)}

    def test_bad_image_is_replaced_by_the_next_row_and_counted(
        self, make_manifest: MakeManifest, caplog: pytest.LogCaptureFixture
    ) -> None:
        samples = Samples(read_manifest(make_manifest(bad=(4, 5, 11))), seed=1)
        with caplog.at_level(logging.WARNING):
            drawn = samples.images(np.arange(12))
        rows = order(np.arange(12), num_rows=12, seed=1)
        instead = {4: 6, 5: 6, 11: 0}
        expected = [1000 + instead.get(row, row) for row in rows.tolist()]
        assert drawn.image_ids.tolist() == expected
        assert drawn.replaced == 2 + 1 + 1
        assert "not_an_image" in caplog.text

    def test_only_bad_images(self, make_manifest: MakeManifest) -> None:
        samples = Samples(read_manifest(make_manifest(bad=tuple(range(12)))), seed=1)
        with pytest.raises(InputError, match="12 bad ones in a row"):
            samples.images(np.arange(2))

    def test_tar_cut_short_while_training(
        self, make_manifest: MakeManifest, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows = read_manifest(make_manifest())
        samples = Samples(rows, seed=1)
        os.truncate(rows.tars[0], int(rows.offset[10]) + 100)
        drawn = samples.images(np.arange(12))
        assert drawn.replaced == 2 + 1
        assert not {1010, 1011} & set(drawn.image_ids.tolist())
        assert f"{rows.tars[0]}: image at byte {rows.offset[10]} replaced: truncated" in caplog.text

    def test_tar_gone_while_training(self, make_manifest: MakeManifest) -> None:
        rows = read_manifest(make_manifest())
        gone = rows.tars[0].with_name("gone.tar")
        samples = Samples(dataclasses.replace(rows, tars=(gone,)), seed=1)
        with pytest.raises(InputError, match=r"gone\.tar: .* no such file"):
            samples.images(np.arange(12))

    def test_only_as_much_is_decoded_as_is_asked_for(self, make_manifest: MakeManifest) -> None:
        rows = read_manifest(make_manifest(bad=(3,), size=80))
        asked = []

        def shrink(position: int, *, width: int, height: int) -> int:
            asked.append((position, width, height))
            return 4 if position % 2 else 1

        drawn = Samples(rows, seed=1).images(np.arange(12, 24), shrink=shrink)
        assert asked == [(position, 80, 80) for position in range(12, 24)]
        assert [image.shape for image in drawn.images] == [(80, 80, 3), (20, 20, 3)] * 6
        assert drawn.sizes == [(80, 80)] * 12
        assert drawn.replaced == 1

    def test_cache_changes_nothing(
        self, make_manifest: MakeManifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = read_manifest(make_manifest(bad=(3,)))
        plain = Samples(rows, seed=1).images(np.arange(12))
        cached = Samples(rows, seed=1, cache=True)
        cached.images(np.arange(12))

        def forbidden(*_: object, **__: object) -> None:
            pytest.fail("read again")

        monkeypatch.setattr(data.io, "read_range", forbidden)
        again = cached.images(np.arange(12))
        assert all(map(np.array_equal, plain.images, again.images))
        assert again.replaced == plain.replaced


class TestBatches:
    @pytest.mark.parametrize("num_workers", [0, 2])
    def test_they_keep_the_order(self, num_workers: int) -> None:
        got = list(data.batches(_square, start=3, stop=9, num_workers=num_workers))
        assert got == [9, 16, 25, 36, 49, 64]

    @pytest.mark.parametrize("num_workers", [0, 1])
    def test_a_mistake_found_by_a_worker_stays_one_sentence(self, num_workers: int) -> None:
        got = data.batches(_vanished_at_two, start=0, stop=9, num_workers=num_workers)
        assert [next(got), next(got)] == [0, 1]
        with pytest.raises(InputError, match=r"^a\.tar: expected a tar, found none; put it back$"):
            next(got)

    def test_a_bug_in_a_worker_stays_a_bug(self) -> None:
        with pytest.raises(ZeroDivisionError):
            next(data.batches(_divide_by_zero, start=0, stop=1, num_workers=1))

    def test_a_killed_worker_is_reported_where_its_step_is_awaited(self) -> None:
        others = set(active_children())
        got = data.batches(_square, start=0, stop=99, num_workers=1)
        assert next(got) == 0
        (worker,) = set(active_children()) - others
        os.kill(worker.pid, signal.SIGKILL)
        worker.join()
        with pytest.raises(InputError, match=rf"worker {worker.pid} killed by signal 9; lower it"):
            list(got)


def _square(step: int) -> int:
    return step * step


def _vanished_at_two(step: int) -> int:
    if step == 2:
        path = "a.tar"
        raise InputError(path, expected="a tar", found="none", fix="put it back")
    return step


def _divide_by_zero(step: int) -> float:
    return 1 / step
