"""Progress passes items through and reports counts."""

import pytest

from sauropod import progress
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


def test_a_line_carries_a_note(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    notes = iter(["loss 2", ""])
    list(track([1, 2], total=2, label="train", unit="images", note=lambda: next(notes)))
    first, second, _ = capsys.readouterr().err.splitlines()
    assert first.endswith(", loss 2")
    assert "ETA 0s" in second
    assert second.endswith("0s")
