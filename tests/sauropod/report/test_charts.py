import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.report.charts import MAX_POINTS, Series, line_chart, spell, thin, ticks


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 10.0) == [0, 2, 4, 6, 8, 10]
    assert ticks(0.031, 0.072) == [0.04, 0.05, 0.06, 0.07]
    assert ticks(3.0, 3.0) == [3.0]


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 7
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (12_000, "12k"), (3.14159, "3.14"), (2e-5, "2e-05"), (2e6, "2M")],
)
def test_spell(value: float, text: str) -> None:
    assert spell(value) == text


def test_thin_keeps_the_mean() -> None:
    x = np.arange(4 * MAX_POINTS, dtype=float)
    thinned = thin(Series("a", x, x**2))
    assert len(thinned.x) == MAX_POINTS
    assert thinned.y.mean() == pytest.approx((x**2).mean())


def test_a_gap_breaks_the_line_and_text_is_escaped() -> None:
    x = np.arange(5.0)
    svg = line_chart([Series("a", x, np.array([1, 2, np.nan, 3, 4]))], alt='<"loss">')
    assert svg.count('class="line s0"') == 1
    path = svg.split(' d="')[1].split('"')[0]
    assert path.count("M") == 2
    assert "&lt;&#34;loss&#34;&gt;" in svg
    assert "nan" not in svg


def test_nothing_to_draw_is_an_empty_chart() -> None:
    assert "<svg" in line_chart([], alt="none")
    flat = line_chart([Series("a", np.array([1.0]), np.array([2.0]))], alt="one point")
    assert "nan" not in flat
