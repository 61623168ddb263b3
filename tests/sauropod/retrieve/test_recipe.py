"""retrieve.recipe: the rows' grammar, and every number of the paper's Table 15."""

import re
from pathlib import Path

import pytest
import yaml

from sauropod import config
from sauropod.errors import InputError
from sauropod.retrieve.recipe import Row, parse, parse_all, planned

PAPER = Path(__file__).parents[3] / "config" / "lvd142m.yaml"
TABLE_15 = """
imagenet22k:as_is 14197086 0 14197086
imagenet22k:sample:4 14197086 56788344 56788344
imagenet1k:sample:32 1281167 40997344 40997344
caltech101:cluster 3030 2630000 1000000
cub200:cluster 5994 1300000 1000000
dtd:cluster 1880 1580000 1000000
aircraft:cluster 3334 1170000 1000000
flowers102:cluster 1020 1060000 1000000
food101:cluster 75750 21670000 1000000
pets:cluster 3680 2750000 1000000
cars:cluster 8144 7220000 1000000
sun397:cluster 19850 18950000 1000000
voc2007:cluster 2501 1010000 1000000
ade20k:cluster 20210 20720000 1000000
cityscapes:cluster 2975 1390000 1000000
voc2012:cluster 1464 10140000 1000000
mapillary_sls:as_is 1434262 0 1434262
kitti:cluster 23158 3700000 1000000
nyu_depth_v2:cluster 24231 10850000 1000000
sun_rgbd:cluster 4829 4870000 1000000
gldv2:as_is 1580470 0 1580470
gldv2:sample:4 1580470 6321880 6321880
amstertime_new:cluster 1231 960000 960000
amstertime_old:cluster 1231 830000 830000
met:cluster 397121 62860000 1000000
roxford:cluster 4993 3680000 1000000
rparis:cluster 6322 3660000 1000000
"""
ROWS = [line.split() for line in TABLE_15.split("\n") if line]


def test_table_15_is_reproduced() -> None:
    knobs = config.Retrieve()
    total = 0
    for text, *numbers in ROWS:
        images, retrieved, final = map(int, numbers)
        hit, rest = divmod(retrieved, knobs.per_cluster)
        row = parse(text)
        assert row.mode != "cluster" or rest == 0
        found = planned(
            row,
            num_images=images,
            num_clusters=hit,
            per_cluster=knobs.per_cluster,
            cap=knobs.cap,
        )
        assert found == (retrieved, final), text
        total += found[1]
    assert total == 142_109_386


def test_the_default_configuration_is_table_15() -> None:
    text = PAPER.read_text()
    recipe = yaml.safe_load(text)["manifest"]["recipe"]
    assert recipe == [row[0] for row in ROWS]
    datasets = {source["name"] for source in yaml.safe_load(text)["curated"]}
    assert {row.dataset for row in parse_all(recipe, datasets=datasets)} == datasets


def test_the_comments_in_the_configuration_are_table_15() -> None:
    lines = re.findall(r"- ([\w:]+)  # (.*)", PAPER.read_text())
    assert len(lines) == 27
    for (name, comment), (text, images, retrieved, final) in zip(lines, ROWS, strict=True):
        numbers = [int(number.replace(",", "")) for number in comment.split(" -> ")]
        steps = [images, final] if retrieved in ("0", final) else [images, retrieved, final]
        assert (name, numbers) == (text, [int(step) for step in steps])


def test_rows_spell_as_they_are_read() -> None:
    for text in ("a:as_is", "a.b-c_d:sample:32", "x:cluster"):
        assert str(parse(text)) == text
    assert parse("a:sample:4") == Row(dataset="a", mode="sample", per_query=4)


@pytest.mark.parametrize(
    "text", ["a", "a:", ":as_is", "a:sample", "a:sample:0", "a:sample:x", "a:cluster:3", "a:as is"]
)
def test_bad_rows_are_one_sentence(text: str) -> None:
    with pytest.raises(InputError, match=re.escape(repr(text))):
        parse(text)


def test_bad_recipes_are_one_sentence() -> None:
    with pytest.raises(InputError, match="at least one row"):
        parse_all([])
    with pytest.raises(InputError, match="one of birds, cats"):
        parse_all(["dogs:as_is"], datasets=["cats", "birds"])
    with pytest.raises(InputError, match="a:sample:3 again"):
        parse_all(["a:sample:4", "a:as_is", "a:sample:3"])
