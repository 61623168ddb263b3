"""Ranges of numbered files fold and unfold to the same paths."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.series import fold, unfold


def test_by_hand() -> None:
    paths = [f"r/crawl-{i:05d}.parquet" for i in (0, 1, 2, 4)] + ["r/x.parquet"]
    texts = ["r/crawl-{00000..00002}.parquet", "r/crawl-00004.parquet", "r/x.parquet"]
    assert fold(paths) == texts
    assert unfold(map(Path, texts)) == tuple(map(Path, paths))


def test_a_thousand_shards_are_one_word() -> None:
    assert fold(f"a-{i:05d}.tar" for i in range(1000)) == ["a-{00000..00999}.tar"]


NAMES = st.tuples(
    st.sampled_from(["a/b", "a/b-c", "x_1"]), st.integers(0, 30), st.sampled_from(["", ".parquet"])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(NAMES, max_size=25))
def test_round_trip(names: list[tuple[str, int, str]]) -> None:
    paths = [f"{head}-{number:05d}{tail}" for head, number, tail in names]
    assert unfold(map(Path, fold(paths))) == tuple(map(Path, paths))
