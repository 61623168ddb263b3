"""blocks: consecutive shards of one source; what is appended leaves the others as they are."""

from sauropod.blocks import pool_blocks, reference_blocks


def _shards(source: str, count: int) -> list[str]:
    return [f"{source}-{i:05d}" for i in range(count)]


def test_blocks_are_of_one_source() -> None:
    found = pool_blocks(_shards("crawl", 5) + _shards("late", 1), size=2)
    assert list(found) == [
        "crawl-block-00000",
        "crawl-block-00001",
        "crawl-block-00002",
        "late-block-00000",
    ]
    assert found["crawl-block-00001"] == ["crawl-00002", "crawl-00003"]
    assert [len(shards) for shards in found.values()] == [2, 2, 1, 1]


def test_an_appended_source_changes_no_block() -> None:
    before = pool_blocks(_shards("crawl", 5), size=2)
    after = pool_blocks(_shards("crawl", 5) + _shards("late", 3), size=2)
    assert {name: after[name] for name in before} == before


def test_references_share_blocks() -> None:
    found = reference_blocks(_shards("a", 1) + _shards("b", 2), size=2)
    assert found == {
        "all-references-00000": ["a-00000", "b-00000"],
        "all-references-00001": ["b-00001"],
    }
    assert reference_blocks([], size=2) == {}
