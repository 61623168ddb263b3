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
SWEEPS, SIDE = 6, 46
STAGES = ("embed", "retrieve", "manifest", "pretrain", "adapt", "distill", "evaluate")

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


def forward(nodes: dict[str, str], edges: Edges) -> Edges:
    """Leave out edges that lead back: a rule used at two places makes a cycle of rules.

    Pretraining, for one, makes both the backbone that embeds and the one that is wanted. Edges
    against STAGES lead back; then, depth first from the nodes without parents, by name, those to a
    node on the path.
    """
    place = {stage: index for index, stage in enumerate(STAGES)}
    children: dict[str, list[str]] = {node: [] for node in nodes}
    edges = [(a, b) for a, b in edges if place.get(nodes[a], 0) <= place.get(nodes[b], len(STAGES))]
    for a, b in edges:
        children[a].append(b)
    left_out: set[tuple[str, str]] = set()
    path: set[str] = set()
    done: set[str] = set()

    def visit(node: str) -> None:
        path.add(node)
        for child in children[node]:
            if child in path:
                left_out.add((node, child))
            elif child not in done:
                visit(child)
        path.remove(node)
        done.add(node)

    starts = set(nodes) - {b for _, b in edges}
    for node in sorted(nodes, key=lambda node: (node not in starts, nodes[node])):
        if node not in done:
            visit(node)
    return [edge for edge in edges if edge not in left_out]


def reduce(edges: Edges) -> Edges:
    """Leave out edges that a longer path already implies (transitive reduction, no cycles)."""
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


def _edge(x0: float, y0: float, x1: float, y1: float) -> str:
    y0, y1 = y0 + NODE_HEIGHT / 2, y1 - NODE_HEIGHT / 2
    bend = max(14.0, (y1 - y0) / 2)
    curve = f"C{x0:.0f} {y0 + bend:.0f} {x1:.0f} {y1 - bend:.0f} {x1:.0f} {y1:.0f}"
    return f'<path class="edge" d="M{x0:.0f} {y0:.0f}{curve}"/>'


def _back(x0: float, y0: float, x1: float, y1: float, *, side: float) -> str:
    start, end = x0 + NODE_WIDTH / 2, x1 + NODE_WIDTH / 2
    curve = f"C{side:.0f} {y0:.0f} {side:.0f} {y1:.0f} {end:.0f} {y1:.0f}"
    return f'<path class="edge back" d="M{start:.0f} {y0:.0f}{curve}"/>'


def draw(nodes: dict[str, str], edges: Edges) -> Markup:
    """Draw a graph as SVG."""
    onward = forward(nodes, edges)
    back = [edge for edge in edges if edge not in onward and edge[0] != edge[1]]
    edges = reduce(onward)
    rows = layers(nodes, edges)
    widest = max(map(len, rows), default=1)
    width = widest * (NODE_WIDTH + GAP_X) - GAP_X + 2 * (PADDING + (SIDE if back else 0))
    height = len(rows) * (NODE_HEIGHT + GAP_Y) - GAP_Y + 2 * PADDING
    centre: dict[str, tuple[float, float]] = {}
    for level, row in enumerate(rows):
        left = width / 2 - (len(row) - 1) / 2 * (NODE_WIDTH + GAP_X)
        for index, node in enumerate(row):
            y = PADDING + NODE_HEIGHT / 2 + level * (NODE_HEIGHT + GAP_Y)
            centre[node] = left + index * (NODE_WIDTH + GAP_X), y
    parts = [_edge(*centre[a], *centre[b]) for a, b in edges]
    parts += [_back(*centre[a], *centre[b], side=width) for a, b in back]
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
