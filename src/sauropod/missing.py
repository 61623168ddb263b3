"""What a run that kept going left undone, and why, from Snakemake's log and the jobs' own.

A failure in Snakemake's log names the outputs and the logs of the job, and what Slurm said of it.
What is there by now (a retry made it) is not missing.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENTRY = re.compile(
    r"^\[[A-Z][a-z]{2} [A-Z][a-z]{2} .*\]\n", re.MULTILINE
)  # [Sat Nov 21 02:05 2026]
FAILED = re.compile(r"^Error in rule (\w+):|^ +jobs:$|^Error in group", re.MULTILINE)
JOB = re.compile(
    r"^(?:Error in| +) ?rule (?P<rule>\w+):\n(?:(?! *rule ).*\n)*?"
    r" +output: (?P<output>.*)\n(?: +log: (?P<log>.*?)(?: \(check .*)?$)?",
    re.MULTILINE,
)
STATE = re.compile(r"SLURM status is: '(\w+)'")
REFUSED = re.compile(r"SLURM sbatch failed. The error message was '(.*?)'", re.DOTALL)


@dataclass(frozen=True)
class Missing:
    """One job whose outputs are not there."""

    rule: str
    outputs: tuple[str, ...]
    failures: int
    why: str


def newest_log(directory: Path) -> Path | None:
    """Find the log of the last run in a folder, by its name, which is a date."""
    return max(directory.glob(".snakemake/log/*.snakemake.log"), default=None)


def missing(log: Path, directory: Path) -> list[Missing]:
    """List jobs that failed to the end.

    Args:
        log: Log of a Snakemake that has ended.
        directory: Folder the run worked in.

    Returns:
        One per job, in the order of their first failures.
    """
    failures: dict[str, list[str]] = {}
    jobs: dict[str, re.Match[str]] = {}
    for entry in _failures(log.read_text(errors="replace")):
        for job in JOB.finditer(entry):
            jobs[job["output"]] = job
            failures.setdefault(job["output"], []).append(_of_slurm(entry))
    found = []
    for named, job in jobs.items():
        outputs = tuple(path.removesuffix(" (temp)") for path in named.split(", "))
        if not all((directory / path).exists() for path in outputs):
            told = [failures[named][-1], _last_line(directory, job["log"])]
            why = "; ".join(part for part in told if part) or "no log: killed before it started"
            found.append(Missing(job["rule"], outputs, len(failures[named]), why))
    return found


def _failures(text: str) -> Iterator[str]:
    return (entry for entry in ENTRY.split(text) if FAILED.search(entry))


def _of_slurm(entry: str) -> str:
    if refused := REFUSED.search(entry):
        return f"Slurm refused the job: {refused[1].strip().splitlines()[-1]}"
    state = STATE.search(entry)
    return f"Slurm says {state[1]}" if state else ""


def _last_line(directory: Path, logs: str | None) -> str:
    for name in (logs or "").split(", "):
        path = directory / name
        if name and path.is_file():
            lines = [line for line in path.read_text(errors="replace").splitlines() if line.strip()]
            return f"{name}: {lines[-1].strip()}" if lines else ""
    return ""


def told(found: list[Missing]) -> str:
    """One line per job, and one in sum."""
    lines = [f"{', '.join(m.outputs)}\n    {m.rule}, failed {m.failures} x: {m.why}" for m in found]
    ending = f"{len(found)} jobs failed; run Snakemake again for them and for what needs them"
    return "\n".join([*lines, ending if found else "no job failed"]) + "\n"
