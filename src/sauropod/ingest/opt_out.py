"""Opt-out signals: robots directives in HTTP headers and <meta> tags, and TDM reservation.

`X-Robots-Tag: noai, googlebot: noindex, unavailable_after: 25 Jun 2010 15:00:00 PST`: directives
are separated by commas; a name before a colon scopes those after it to one crawler, unless it is
a directive that takes a value itself.
"""

from collections.abc import Iterable

NONE = frozenset(("noindex", "nofollow"))
_VALUED = frozenset(
    (
        "unavailable_after",
        "max-snippet",
        "max-image-preview",
        "max-video-preview",
        "indexifembedded",
    )
)


def directives(values: Iterable[str], *, agent: str) -> set[str]:
    """Lower-case directives that bind this crawler.

    Args:
        values: Contents of the headers (or of <meta name=robots content>), one per header.
        agent: Product token of our user agent, lower-case; scoped directives for others are
            left out.
    """
    out: set[str] = set()
    for value in values:
        scope = ""  # a scope lasts until the end of its header
        for word in value.lower().split(","):
            name, colon, rest = word.partition(":")
            name = name.strip()
            if colon and name not in _VALUED:
                scope, name = name, rest.strip()
            if scope in ("", "*", agent) and name:
                out.add(name)
    return out | NONE if "none" in out else out


def opted_out(values: Iterable[str], *, agent: str, tokens: frozenset[str]) -> bool:
    """True when one of the tokens (for example noai, noimageindex) binds this crawler."""
    return not tokens.isdisjoint(directives(values, agent=agent))
