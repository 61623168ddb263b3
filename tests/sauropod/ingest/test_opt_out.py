"""opt_out.py: scopes, valued directives, several headers."""

import pytest

from sauropod.ingest import opt_out

TOKENS = frozenset(("noai", "noimageai", "noindex", "noimageindex"))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["noai"], True),
        (["NoAI, noimageai"], True),
        (["index, follow"], False),
        (["none"], True),
        (["otherbot: noai"], False),
        (["sauropod: noai"], True),
        (["*: noindex"], True),
        (["otherbot: nofollow, noai"], False),
        (["otherbot: noai", "noimageindex"], True),
        (["unavailable_after: 25 Jun 2010 15:00:00 PST, noai"], True),
        (["max-image-preview: large"], False),
        (["noaisle"], False),
        ([""], False),
        ([], False),
    ],
)
def test_headers(values: list[str], expected: bool) -> None:
    assert opt_out.opted_out(values, agent="sauropod", tokens=TOKENS) is expected


def test_tokens_are_the_users_choice() -> None:
    assert not opt_out.opted_out(["noindex"], agent="sauropod", tokens=frozenset(("noai",)))
