"""Where malloc puts large blocks, seen from a process of its own: the setting cannot be undone."""

import subprocess
import sys

import pytest

from sauropod.train import host_memory

GROWTH = """
import torch
from sauropod.train.host_memory import keep_freed_memory
def heap():
    (line,) = [line for line in open("/proc/self/maps") if "[heap]" in line]
    start, end = line.split()[0].split("-")
    return int(end, 16) - int(start, 16)
{keep}
before = heap()
block = torch.ones({mib} << 18)
del block
print(heap() - before >> 20)
"""


def growth(keep: str, mib: int) -> int:
    """MiB by which the heap has grown for a block that is gone."""
    command = [sys.executable, "-c", GROWTH.format(keep=keep, mib=mib)]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    return int(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_blocks_up_to_32_mib_stay_in_the_heap() -> None:
    assert growth("keep_freed_memory()", 24) > 20  # of it some was free before
    assert growth("keep_freed_memory()", 40) < 4
    assert growth("", 24) < 4


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not host_memory.keep_freed_memory()
