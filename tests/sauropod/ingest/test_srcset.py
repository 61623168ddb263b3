"""srcset.py against the cases of the HTML standard."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sauropod.ingest import srcset


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.png", ["a.png"]),
        ("a.png 1x, b.png 2x", ["a.png", "b.png"]),
        ("a.png, b.png 2x", ["a.png", "b.png"]),
        ("a.png,b.png 2x", ["a.png,b.png"]),  # a comma without space belongs to the URL
        (",,a.png 1x,\n\tb.png 480w ,, ", ["a.png", "b.png"]),
        ("a.png calc(1, 2), b.png", ["a.png", "b.png"]),
        ("data:image/png;base64,AA== 1x, b.png", ["data:image/png;base64,AA==", "b.png"]),
        ("a.png 100w 2h", ["a.png"]),
        ("", []),
        (" , ", []),
    ],
)
def test_candidates(text: str, expected: list[str]) -> None:
    assert srcset.candidates(text) == expected


@settings(max_examples=100, deadline=None)
@given(st.lists(st.from_regex(r"[a-z/.]{1,9}\Z", fullmatch=True), max_size=8))
def test_what_is_joined_comes_apart(names: list[str]) -> None:
    text = ", ".join(f"{name} {i + 1}x" for i, name in enumerate(names))
    assert srcset.candidates(text) == names


def test_candidates_are_bounded() -> None:
    assert len(srcset.candidates(", ".join(["a 1x"] * 5000))) == srcset.MAX_CANDIDATES
