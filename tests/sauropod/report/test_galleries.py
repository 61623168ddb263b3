import polars as pl

from sauropod import schema
from sauropod.report import galleries
from sauropod.report.thumbnails import Thumbnails


def _table(rows: list[dict], table: schema.Table) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(table.columns))


def test_evenly() -> None:
    assert galleries.evenly(range(3), count=5) == [0, 1, 2]
    assert galleries.evenly(range(10), count=4) == [0, 3, 6, 9]
    assert galleries.evenly(range(10), count=1) == [0]


def test_retrieval_shows_queries_with_their_neighbours_in_order(shard: pl.DataFrame) -> None:
    rows = [
        {
            "image_id": i,
            "query_dataset": "objects",
            "query_id": 10,
            "rank": 3 - i,
            "similarity": 0.5,
        }
        for i in range(4)
    ]
    rows.append({"image_id": 1, "query_dataset": "objects", "query_id": 555, "rank": 0})
    rows.append({"image_id": 2, "query_dataset": "fine", "query_id": 11, "rank": 0, "cluster": 7})
    neighbours = _table(rows, schema.NEIGHBOURS)
    thumbnails = Thumbnails.of(shard)
    found = galleries.retrieval(neighbours, thumbnails)
    assert list(found) == ["objects"]
    (group,) = found["objects"]  # the query without bytes is left out
    assert group.first is not None
    assert group.first.src == thumbnails.plain(10)
    assert [p.src for p in group.pictures] == [thumbnails.plain(i) for i in (3, 2, 1, 0)]
    (cluster,) = galleries.clusters(neighbours, thumbnails)
    assert cluster.title == "Cluster 7"
    assert cluster.note == "1 for fine"


def test_a_neighbour_without_similarity_is_shown(shard: pl.DataFrame) -> None:
    row = {"image_id": 1, "query_dataset": "objects", "query_id": 2, "rank": 0}
    found = galleries.retrieval(_table([row], schema.NEIGHBOURS), Thumbnails.of(shard))
    assert found["objects"][0].pictures[0].caption == ""


def test_components_show_the_kept_one_first(shard: pl.DataFrame) -> None:
    reasons = {0: "copy", 1: "copy", 2: "representative", 3: "unique", 4: "eval_overlap"}
    copies = _table(
        [
            {
                "image_id": i,
                "component": 0 if i < 3 else i,
                "kept": reason in ("representative", "unique"),
                "reason": reason,
                "evidence_id": 9 if reason == "eval_overlap" else 2,
                "similarity": 0.7,
            }
            for i, reason in reasons.items()
        ],
        schema.COPIES,
    )
    thumbnails = Thumbnails.of(shard)
    (group,) = galleries.components(copies, thumbnails, overlap=False)
    assert [p.caption for p in group.pictures] == ["kept", "0.70", "0.70"]
    assert group.pictures[0].src == thumbnails.plain(2)
    assert group.note == "3 images"
    (overlap,) = galleries.components(copies, thumbnails, overlap=True)
    assert overlap.first is not None
    assert overlap.first.src == thumbnails.plain(9)
    assert overlap.note == "1 image"


def test_hash_groups(shard: pl.DataFrame) -> None:
    duplicates = _table([{"image_id": i, "duplicate_of": 5} for i in (6, 7)], schema.DUPLICATES)
    (group,) = galleries.hash_groups(duplicates, Thumbnails.of(shard))
    assert [p.kept for p in group.pictures] == [True, False, False]


def test_screened(shard: pl.DataFrame) -> None:
    face = {"left": 1.0, "top": 1.0, "width": 5.0, "height": 5.0, "score": 0.9}
    screened = _table(
        [
            {"image_id": 0, "nsfw_score": 0.1, "faces": [face], "blurred": True},
            {"image_id": 1, "nsfw_score": 0.9, "faces": [], "blurred": False},
        ],
        schema.SCREENED,
    )
    thumbnails = Thumbnails.of(shard)
    (face_picture,) = galleries.blurred_faces(screened, thumbnails)
    assert face_picture.caption == "1 face"
    assert face_picture.src != thumbnails.plain(0)
    after = shard.with_columns(
        status=pl.when(pl.col("image_id") == 1)
        .then(pl.lit("unsafe"))
        .otherwise("status")
        .cast(pl.Enum(schema.STATUS))
    )
    unsafe = galleries.unsafe(screened, after, thumbnails)
    assert (unsafe.count, unsafe.lowest) == (1, "0.90")
    assert unsafe.pictures[0].src == thumbnails.hidden(1) != thumbnails.plain(1)
    assert unsafe.pictures[0].caption == "score 0.90"
    gone = galleries.unsafe(screened, after, Thumbnails({}))
    assert (gone.count, gone.pictures) == (1, ())
