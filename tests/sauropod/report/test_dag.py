from pathlib import Path

import pytest

from sauropod.errors import InputError
from sauropod.report.dag import draw, forward, layers, parse, picture, reduce

DOT = """digraph snakemake_dag {
    graph[bgcolor=white, margin=0];
    node[shape=box, style=rounded, fontname=sans];
    edge[penwidth=2, color=grey];
\t0[label = "all", color = "0.1 0.6 0.85", style="rounded"];
\t1[label = "embed\\nshard: a", color = "0.2 0.6 0.85", style="rounded"];
\t2[label = "ingest", color = "0.3 0.6 0.85", style="rounded"];
\t1 -> 0
\t2 -> 1
\t2 -> 0
}"""
MERMAID = """---
title: DAG
---
flowchart TB
\tid0[all]
\tid1[embed]
\tid2[ingest]
\tstyle id0 fill:#57D9D9,stroke-width:2px,color:#333333
\tid1 --> id0
\tid2 --> id1
\tid2 --> id0"""


@pytest.mark.parametrize("text", [DOT, MERMAID])
def test_dot_and_mermaid_are_read(text: str) -> None:
    nodes, edges = parse(text)
    assert sorted(nodes.values()) == ["all", "embed", "ingest"]
    named = {(nodes[a], nodes[b]) for a, b in edges}
    assert named == {("embed", "all"), ("ingest", "embed"), ("ingest", "all")}


def test_implied_edges_are_left_out() -> None:
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("a", "d")]
    assert reduce(edges) == [("a", "b"), ("b", "c"), ("a", "d")]


def test_edges_that_lead_back_are_left_out() -> None:
    nodes = {n: n for n in "abcd"}
    edges = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "c"), ("c", "d")]
    assert forward(nodes, edges) == [("a", "b"), ("b", "c"), ("c", "d")]
    assert "<svg" in draw(nodes, edges)
    assert len(forward({"a": "a", "b": "b"}, [("a", "b"), ("b", "a")])) == 1


def test_known_stages_say_which_edge_leads_back() -> None:
    nodes = {"0": "embed", "1": "manifest", "2": "pretrain", "3": "other"}
    edges = [("0", "1"), ("1", "2"), ("2", "0"), ("3", "2")]
    assert forward(nodes, edges) == [("0", "1"), ("1", "2"), ("3", "2")]
    assert draw(nodes, edges).count('class="edge back"') == 1


def test_layers_end_at_the_goal() -> None:
    nodes = {n: n for n in "abcd"}
    assert layers(nodes, [("a", "b"), ("b", "c"), ("d", "c")]) == [["a"], ["b", "d"], ["c"]]
    assert layers({}, []) == []


def test_drawing_has_every_node_and_escapes_names() -> None:
    svg = draw({"a": "<b>", "c": "d"}, [("a", "c")])
    assert svg.count('class="node"') == 2
    assert svg.count('class="edge"') == 1
    assert "<b>" not in svg


def test_svg_becomes_an_image_and_other_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dag"
    path.write_text('<?xml version="1.0"?><svg xmlns="x"><script>1</script></svg>')
    assert picture(path).startswith('<img class="dag" src="data:image/svg+xml;base64,')
    path.write_text(DOT)
    assert "<svg" in picture(path)
    path.write_text("nothing here")
    with pytest.raises(InputError, match="no rules"):
        picture(path)
    with pytest.raises(InputError, match="a rule graph"):
        picture(tmp_path / "none")
