"""The srcset attribute: the URLs of its image candidates.

Source: WHATWG HTML, "parsing a srcset attribute" (the URL part; descriptors are only skipped).
"""

_SPACE = " \t\n\f\r"
MAX_CANDIDATES = 64
"""Candidates read from one attribute; real ones have under twenty."""


def candidates(text: str) -> list[str]:
    """URLs in the order they stand. Commas inside a URL or inside parentheses do not split."""
    out: list[str] = []
    position, end = 0, len(text)
    while len(out) < MAX_CANDIDATES:
        while position < end and text[position] in _SPACE + ",":
            position += 1
        if position >= end:
            break
        start = position
        while position < end and text[position] not in _SPACE:
            position += 1
        url = text[start:position]
        if url.endswith(","):
            out.append(url.rstrip(","))
            continue
        out.append(url)
        position = _skip_descriptors(text, start=position)
    return out


def _skip_descriptors(text: str, *, start: int) -> int:
    """Position after the comma that ends the candidate whose URL ended at start."""
    depth = 0
    for i in range(start, len(text)):
        char = text[i]
        if char == "(":
            depth = 1
        elif char == ")":
            depth = 0
        elif char == "," and depth == 0:
            return i + 1
    return len(text)
