"""The rule graph as inline SVG, drawn from the text that `snakemake --rulegraph` prints.

Reads dot and mermaid; an SVG made elsewhere is taken as it is. Edges that a
longer path implies are left out; layers run from top to bottom, ordered by the mean place of their
neighbours (Sugiyama's barycentre, a few sweeps).
"""

import base64
import re
from functools import cache
from pathlib import Path

from markupsafe import Markup, escape

from sauropod.errors import InputError

DOT_NODE = re.compile(r'^\s*"?(\w+)"?\s*\[\s*label\s*=\s*"([^"]*)"', re.MULTILINE)
DOT_EDGE = re.compile(r'^\s*"?(\w+)"?\s*->\s*"?(\w+)"?', re.MULTILINE)
MERMAID_NODE = re.compile(r'^\s*(\w+)\s*[\[\(\{]+"?([^"\]\)\}]*)"?[\]\)\}]+', re.MULTILINE)
MERMAID_EDGE = re.compile(r"^\s*(\w+)\s*--+>\s*(\w+)", re.MULTILINE)

NODE_WIDTH, NODE_HEIGHT, GAP_X, GAP_Y, PADDING = 132, 30, 18, 24, 12
SWEEPS = 6

Edges = list[tuple[str, str]]


def parse(text: str) -> tuple[dict[str, str], Edges]:
    """Read nodes (id -> label) and edges of a graph in dot or mermaid."""
    dot = "digraph" in text
    nodes = dict((DOT_NODE if dot else MERMAID_NODE).findall(text))
    edges = (DOT_EDGE if dot else MERMAID_EDGE).findall(text)
    for edge in edges:
        for name in edge:
            nodes.setdefault(name, name)
    labels = {name: label.split("\\n")[0].strip() or name for name, label in nodes.items()}
    return labels, sorted(set(edges))


def reduce(edges: Edges) -> Edges:
    """Leave out edges that a longer path already implies (transitive reduction)."""
    children: dict[str, set[str]] = {}
    for a, b in edges:
        children.setdefault(a, set()).add(b)

    @cache
    def below(node: str) -> frozenset[str]:
        direct = children.get(node, set())
        return frozenset(direct).union(*(below(child) for child in direct))

    return [(a, b) for a, b in edges if not any(b in below(other) for other in children[a] - {b})]


def layers(nodes: dict[str, str], edges: Edges) -> list[list[str]]:
    """Put every node one layer above its highest child, and order layers to shorten edges."""
    near: dict[str, set[str]] = {node: set() for node in nodes}
    children: dict[str, set[str]] = {node: set() for node in nodes}
    for a, b in edges:
        near[a].add(b)
        near[b].add(a)
        children[a].add(b)

    @cache
    def height(node: str) -> int:
        return max((height(child) + 1 for child in children[node]), default=0)

    top = max(map(height, nodes), default=-1)
    rows: list[list[str]] = [[] for _ in range(top + 1)]
    for node in sorted(nodes, key=lambda node: nodes[node]):
        rows[top - height(node)].append(node)
    for _ in range(SWEEPS):
        place = {n: i - (len(row) - 1) / 2 for row in rows for i, n in enumerate(row)}
        for row in rows:
            means = {n: sum(place[m] for m in near[n]) / max(len(near[n]), 1) for n in row}
            row.sort(key=lambda n: (means[n], nodes[n]))
            place.update({n: i - (len(row) - 1) / 2 for i, n in enumerate(row)})
    return rows


def draw(nodes: dict[str, str], edges: Edges) -> Markup:
    """Draw a graph without cycles as SVG."""
    edges = reduce(edges)
    rows = layers(nodes, edges)
    widest = max(map(len, rows), default=1)
    width = widest * (NODE_WIDTH + GAP_X) - GAP_X + 2 * PADDING
    height = len(rows) * (NODE_HEIGHT + GAP_Y) - GAP_Y + 2 * PADDING
    centre: dict[str, tuple[float, float]] = {}
    for level, row in enumerate(rows):
        left = width / 2 - (len(row) - 1) / 2 * (NODE_WIDTH + GAP_X)
        for index, node in enumerate(row):
            y = PADDING + NODE_HEIGHT / 2 + level * (NODE_HEIGHT + GAP_Y)
            centre[node] = left + index * (NODE_WIDTH + GAP_X), y
    parts = []
    for a, b in edges:
        (x0, y0), (x1, y1) = centre[a], centre[b]
        y0, y1 = y0 + NODE_HEIGHT / 2, y1 - NODE_HEIGHT / 2
        bend = max(14.0, (y1 - y0) / 2)
        start, end = f"M{x0:.0f} {y0:.0f}", f"{x1:.0f} {y1:.0f}"
        curve = f"C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {end}"
        parts.append(f'<path class="edge" d="{start}{curve}"/>')
    for node, (x, y) in centre.items():
        left, top = x - NODE_WIDTH / 2, y - NODE_HEIGHT / 2
        parts.append(
            f'<rect class="node" x="{left:.0f}" y="{top:.0f}" width="{NODE_WIDTH}"'
            f' height="{NODE_HEIGHT}" rx="8"/>'
            f'<text x="{x:.0f}" y="{y + 4:.0f}" text-anchor="middle">{escape(nodes[node])}</text>'
        )
    alt = f"Graph of {len(nodes)} rules: {', '.join(nodes.values())}"
    return Markup(
        f'<svg class="dag" viewBox="0 0 {width} {height}" style="max-width:{width}px" role="img"'
        f' aria-label="{escape(alt)}">{"".join(parts)}</svg>'
    )


def picture(path: Path) -> Markup:
    """Read a rule graph (dot, mermaid or SVG) and return it as SVG.

    Raises:
        InputError: the file is missing or holds no graph.
    """
    fix = "give what `snakemake --rulegraph` prints"
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, expected="a rule graph", found=str(error), fix=fix) from error
    if "<svg" in text:  # as an image, so that nothing in it can run or leak style
        data = base64.b64encode(text.encode()).decode()
        uri = f"data:image/svg+xml;base64,{data}"
        return Markup(f'<img class="dag" src="{uri}" alt="Graph of the rules">')
    nodes, edges = parse(text)
    if not nodes:
        raise InputError(path, expected="a rule graph", found="no rules", fix=fix)
    return draw(nodes, edges)
