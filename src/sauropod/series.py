"""Many numbered files in few words: `crawl-{00000..04095}.parquet`, as bash spells ranges.

A stage may read thousands of shards, and a command line may not be that long. `fold` shortens a
list of paths, `unfold` gives it back; neither looks at the disk.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
NUMBERED = re.compile(r"^(.*-)(\d{5})(\..*)?$", re.DOTALL)


def _unfold(text: str) -> Iterator[str]:
    found = RANGE.search(text)
    if found is None:
        yield text
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield f"{text[: found.start()]}{number:0{len(first)}d}{text[found.end() :]}"


def unfold(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Replace every `{first..last}` by the numbers it stands for, in order."""
    return tuple(Path(text) for path in paths for text in _unfold(str(path)))


def fold(paths: Iterable[Path | str]) -> list[str]:
    """Shorten runs of consecutively numbered paths (`name-00000.ext`, `name-00001.ext`, ...).

    Returns:
        Texts that `unfold` turns back into the same paths, in the same order.
    """
    runs: list[tuple[str, int, int, str] | str] = []
    for path in map(str, paths):
        found = NUMBERED.match(path)
        if found is None:
            runs.append(path)
            continue
        head, digits, tail = found[1], found[2], found[3] or ""
        last = runs[-1] if runs else ""
        number = int(digits)
        if isinstance(last, tuple) and (last[0], last[2] + 1, last[3]) == (head, number, tail):
            runs[-1] = (head, last[1], number, tail)
        else:
            runs.append((head, number, number, tail))
    return [run if isinstance(run, str) else _spell(*run) for run in runs]


def _spell(head: str, first: int, last: int, tail: str) -> str:
    if first == last:
        return f"{head}{first:05d}{tail}"
    return f"{head}{{{first:05d}..{last:05d}}}{tail}"
