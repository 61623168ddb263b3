import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MAX_DOTS,
    MAX_POINTS,
    RIGHT,
    WIDTH,
    Dot,
    Mark,
    Panel,
    Path,
    Series,
    Words,
    draw,
    spell,
    svg,
    thin,
    ticks,
)


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0.0, 10.0) == [0, 5, 10]
    assert ticks(0.0, 8.0) == [0, 2, 4, 6, 8]
    assert ticks(0.031, 0.072) == [0.04, 0.06]
    assert ticks(3.0, 3.0) == [3.0]


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_few(low: float, width: float) -> None:
    found = ticks(low, low + width)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-6 * width <= t <= low + width * (1 + 1e-6) for t in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (999, "999"), (2000, "2k"), (12_345, "12.3k"), (3.14159, "3.14"), (2e-5, "2e-05")],
)
def test_spell(value: float, text: str) -> None:
    assert spell(value) == text
    assert spell(2e6) == "2M"


def test_thin_keeps_the_mean_and_the_extremes() -> None:
    x = np.arange(4 * MAX_POINTS, dtype=float)
    y = np.sin(x)
    y[37] = 100.0
    thinned = thin(Series("a", x, y))
    assert len(thinned.x) == MAX_POINTS
    assert thinned.y.mean() == pytest.approx(y.mean())
    assert (thinned.high.max(), thinned.low.min()) == (100.0, y.min())
    assert (thinned.low <= thinned.y).all()
    assert (thinned.y <= thinned.high).all()


def _paths(marks: list[Mark], style: str) -> list[Path]:
    return [m for m in marks if isinstance(m, Path) and m.style.startswith(style)]


def _panel(y: list[float], **how: tuple[float, ...]) -> Panel:
    return Panel("loss", "nats", (Series("a", np.arange(len(y), dtype=float), np.array(y)),), **how)


def test_a_line_by_hand() -> None:
    marks = draw(_panel([0.0, 1.0], includes=(0, 1)), over=(0.0, 1.0))
    (line,) = _paths(marks, "line s0")
    (left, foot), (right, top) = line.points.tolist()
    assert (left, right) == (LEFT, WIDTH - RIGHT)
    # A margin of 4 % below and above.
    inner = (foot - top) / (1 / 1.08)
    assert foot == pytest.approx(HEIGHT - BOTTOM - 0.04 / 1.08 * inner)
    words = [m.text for m in marks if isinstance(m, Words)]
    assert words == ["0", "0.5", "1", "0", "0.5", "1", "nats", "step"]


def test_a_gap_breaks_the_line_and_lone_points_are_dots() -> None:
    marks = draw(_panel([1, 2, np.nan, 3, np.inf]), over=(0.0, 4.0))
    assert [len(p.points) for p in _paths(marks, "line")] == [2, 1]
    assert len([m for m in marks if isinstance(m, Dot)]) == 3
    many = draw(_panel([0.0] * (MAX_DOTS + 1)), over=(0.0, 20.0))
    assert not [m for m in many if isinstance(m, Dot)]


def test_long_lines_have_a_band_under_all_lines() -> None:
    y = np.tile([1.0, 3.0], MAX_POINTS).tolist()
    marks = draw(_panel(y), over=(0.0, float(len(y))))
    styles = [m.style for m in marks if isinstance(m, Path)]
    assert styles.index("band s0") < styles.index("line s0")
    assert _paths(marks, "band")[0].filled


def test_skipped_steps_are_marked_on_the_axis() -> None:
    marks = draw(_panel([1, 2, 3], skips=(0.0, 2.0)), over=(0.0, 2.0))
    ends = [p.points[0].tolist() for p in _paths(marks, "skip")]
    assert ends == [[LEFT, HEIGHT - BOTTOM], [WIDTH - RIGHT, HEIGHT - BOTTOM]]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), max_size=400),
    st.lists(st.floats(-10, 10), max_size=2),
)
def test_everything_stays_inside(y: list[float], includes: list[float]) -> None:
    panel = _panel(y, includes=tuple(includes))
    for mark in draw(panel, over=(0.0, max(1.0, len(y)))):
        points = mark.points if isinstance(mark, Path) else np.array([[mark.x, mark.y]])
        assert ((points >= 0) & (points <= [WIDTH, HEIGHT])).all()


def test_svg_is_escaped_and_whole() -> None:
    x = np.arange(5.0)
    panel = Panel("<loss>", "<nats>", (Series("a", x, np.array([1, 2, np.nan, 3, 4])),))
    text = svg(draw(panel, over=(0.0, 4.0)), alt='<"loss">')
    assert "&lt;&#34;loss&#34;&gt;" in text
    assert "&lt;nats&gt;" in text
    assert text.count('class="line s0"') == 2
    assert "nan" not in text


def test_nothing_to_draw_is_an_empty_chart() -> None:
    assert "<svg" in svg(draw(Panel("a", "", ()), over=(0.0, 1.0)), alt="none")
    empty = Series("a", np.zeros(0), np.zeros(0))
    assert "nan" not in svg(draw(Panel("a", "", (empty,)), over=(0.0, 1.0)), alt="none")
