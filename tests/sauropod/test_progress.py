"""Progress passes items through and reports counts."""

import pytest

from sauropod.progress import duration, track


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.6, "1m00s"), (61, "1m01s"), (3725, "1h02m")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_items_pass_through(capsys: pytest.CaptureFixture[str]) -> None:
    items = track([1, 2, 3], total=6, label="embed", unit="images", weight=2)
    assert list(items) == [1, 2, 3]
    assert "embed: 6 images" in capsys.readouterr().err
