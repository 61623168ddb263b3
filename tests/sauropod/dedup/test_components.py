"""dedup.components: partitions against scipy and networkx, whatever the order of the edges."""

import networkx as nx
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sauropod.dedup.components import Components, size_histogram, sizes

EDGES = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=60)


def _labels(count: int, edges: np.ndarray, chunk: int) -> np.ndarray:
    forest = Components(count)
    for start in range(0, len(edges), chunk):
        forest.add(edges[start : start + chunk, 0], edges[start : start + chunk, 1])
    return forest.labels()


def test_by_hand() -> None:
    edges = np.array([[5, 3], [3, 4], [1, 0]])
    assert _labels(7, edges, 2).tolist() == [0, 0, 2, 3, 3, 3, 6]


def test_long_chain_in_the_worst_order() -> None:
    chain = np.stack([np.arange(999), np.arange(1, 1000)], axis=1)
    for edges in (chain, chain[::-1], chain[:, ::-1]):
        assert not _labels(1000, edges, 7).any()


@given(EDGES, st.integers(1, 61), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_smallest_node_of_networkx_components(
    pairs: list[tuple[int, int]], chunk: int, random: object
) -> None:
    graph = nx.Graph(pairs)
    graph.add_nodes_from(range(30))
    expected = np.empty(30, int)
    for component in nx.connected_components(graph):
        expected[list(component)] = min(component)
    random.shuffle(pairs)  # type: ignore[attr-defined]
    edges = np.array(pairs, int).reshape(-1, 2)
    np.testing.assert_array_equal(_labels(30, edges, chunk), expected)


def test_scipy_agrees_on_a_large_graph() -> None:
    rng = np.random.default_rng(1)
    edges = rng.integers(0, 50_000, (60_000, 2))
    graph = coo_array((np.ones(len(edges)), edges.T), shape=(50_000, 50_000))
    count, theirs = connected_components(graph, directed=False)
    ours = _labels(50_000, edges, 9_999)
    assert len(np.unique(ours)) == count
    assert len(np.unique(np.stack([ours, theirs]), axis=1).T) == count


def test_memory_is_four_bytes_a_node() -> None:
    assert Components(1000).parent.nbytes == 4000


def test_sizes_and_their_histogram() -> None:
    labels = np.array([0, 0, 2, 3, 3, 3, 6])
    assert sizes(labels).tolist() == [2, 0, 1, 3, 0, 0, 1]
    assert size_histogram(sizes(labels)) == {1: 2, 2: 1, 3: 1}
    among = np.array([1, 0, 0, 1, 1, 1, 0], bool)
    assert size_histogram(sizes(labels, among=among)) == {1: 1, 3: 1}
    assert size_histogram(np.zeros(4, int)) == {}
