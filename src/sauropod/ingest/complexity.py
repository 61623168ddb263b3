"""A guard before the HTML parser, whose time grows with the square of two things.

Half a million attributes in one tag, or as many unclosed elements, fit into a page of normal size
and keep the parser busy for minutes. Pages up to SMALL cannot cost more than about a second and
pass unlooked at; larger ones are scanned once.
"""

import re

SMALL = 131_072
MAX_ATTRIBUTES = 2_000
MAX_DEPTH = 10_000

# Possessive: every character is looked at once, whatever quotes are left open.
_TAG = re.compile(r"""<[A-Za-z](?:[^>=]++|=\s*+(?:"[^"]*+"|'[^']*+')|=)*+""")
_QUOTED = re.compile(r"""=\s*+(?:"[^"]*+"|'[^']*+')""")
_NAME = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9-]*)")
_VOID = "area base br col embed hr img input link meta param source track wbr"
_CLOSED_BY_NEXT = "p li td th tr dd dt"
_FLAT = frozenset(f"{_VOID} {_CLOSED_BY_NEXT}".split())


def parseable(html: str) -> bool:
    """True when the parser will be done with a page in reasonable time."""
    if len(html) <= SMALL:
        return True
    for tag in _TAG.finditer(html):
        # A tag of so many attributes is at least twice as many characters long.
        if tag.end() - tag.start() > 2 * MAX_ATTRIBUTES:
            words = _QUOTED.sub(" ", tag[0]).replace("/", " ").split()
            if len(words) > MAX_ATTRIBUTES:
                return False
    return html.count("<") <= 2 * MAX_DEPTH or _depth(html) <= MAX_DEPTH


def _depth(html: str) -> int:
    """Most elements open at once, about: end tags close the elements of their own name."""
    open_now: dict[str, int] = {}
    depth = deepest = 0
    for slash, name in _NAME.findall(html):
        tag = name.lower()
        if tag in _FLAT:
            continue
        if not slash:
            open_now[tag] = open_now.get(tag, 0) + 1
            depth += 1
            deepest = max(deepest, depth)
        elif open_now.get(tag, 0):
            open_now[tag] -= 1
            depth -= 1
    return deepest
