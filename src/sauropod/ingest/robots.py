"""robots.txt: which paths of a host our crawler may ask for (RFC 9309).

The most specific rule wins, an allow wins a tie, `*` matches any text and a final `$` the end.
Groups that name our product token apply; without one the `*` groups do; several are joined.
A missing file (4xx) allows everything, an unreachable one (5xx, no answer) forbids everything.
"""

import re
from dataclasses import dataclass

MAX_BYTES = 512_000
"""Bytes of robots.txt read; the RFC asks for at least 500 KiB."""
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})")
_RESERVED = frozenset(b":/?#[]@!$&'()*+,;=%")


@dataclass(frozen=True, slots=True)
class Rule:
    """One allow or disallow line: its pattern, and its length, which is its weight."""

    allow: bool
    pattern: re.Pattern[str]
    length: int


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one host for one crawler."""

    rules: tuple[Rule, ...] = ()
    crawl_delay: float = 0.0
    """Seconds between requests the host asks for (not in the RFC, widely used)."""

    def allows(self, path: str) -> bool:
        """True when a path (with its query) may be fetched. /robots.txt itself always may."""
        path = _plain(path)
        if path == "/robots.txt":
            return True
        best = (0, True)
        for rule in self.rules:
            if (rule.length, rule.allow) > best and rule.pattern.match(path):
                best = (rule.length, rule.allow)
        return best[1]


ALLOW_ALL = Rules()
FORBID_ALL = Rules((Rule(allow=False, pattern=re.compile("/"), length=1),))


def parse(data: bytes, *, agent: str) -> Rules:
    """Read a robots.txt for one crawler.

    Args:
        data: The file; what is beyond MAX_BYTES and lines that make no sense are left out.
        agent: Product token, compared without regard to case.
    """
    text = data[:MAX_BYTES].decode("utf-8", "replace").removeprefix("\ufeff")
    ours: list[tuple[str, str]] = []
    everybody: list[tuple[str, str]] = []
    named = False
    agents: set[str] = set()
    in_rules = True
    for line in re.split(r"\r\n|\r|\n", text):
        key, colon, value = line.partition("#")[0].partition(":")
        key, value = key.strip().lower(), value.strip()
        if not colon:
            continue
        if key == "user-agent":
            agents = set() if in_rules else agents
            in_rules = False
            agents.add(_token(value))
            named = named or _token(value) == agent.lower()
        elif key in ("allow", "disallow", "crawl-delay"):
            in_rules = True
            ours += [(key, value)] * (agent.lower() in agents)
            everybody += [(key, value)] * ("*" in agents)
    return _rules(ours if named else everybody)


def _token(value: str) -> str:
    """A user-agent line's product token: letters, '-' and '_' only, version left out."""
    match = re.match(r"\*|[A-Za-z_-]+", value)
    return match[0].lower() if match else ""


def _rules(lines: list[tuple[str, str]]) -> Rules:
    rules: list[Rule] = []
    delay = 0.0
    for key, value in lines:
        if key == "crawl-delay":
            delay = float(value) if re.fullmatch(r"\d{1,6}(\.\d{1,3})?", value) else delay
        elif value.startswith(("/", "*")):
            path = _plain(value)
            rules.append(Rule(key == "allow", _compile(path), len(path.encode())))
    return Rules(tuple(rules), delay)


def _compile(path: str) -> re.Pattern[str]:
    """A rule's path as a regular expression; runs of '*' are one, so matching stays linear."""
    end = path.endswith("$")
    parts = re.split(r"\*+", path[:-1] if end else path)
    # Lazy gaps inside atomic groups: each literal is matched at its first place only, which is
    # enough for '*' and cannot backtrack exponentially.
    text = re.escape(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        last = end and i == len(parts)
        gap = f"(?s:.*){re.escape(part)}" if last else f"(?>(?s:.*?){re.escape(part)})"
        text += gap
    return re.compile(text + (r"\Z" if end else ""))


def _plain(path: str) -> str:
    """Percent-escapes in one spelling, so that rules and URLs compare octet by octet."""
    path = "".join(c if c.isascii() else "".join(f"%{b:02X}" for b in c.encode()) for c in path)
    return _ESCAPE.sub(_unescape, path)


def _unescape(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    printable = 0x20 < code < 0x7F and code not in _RESERVED
    return chr(code) if printable else match[0].upper()
