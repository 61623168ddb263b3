"""What malloc keeps, seen from a process of its own: the setting cannot be taken back."""

import subprocess
import sys

import pytest

from sauropod.train import host_memory

FAULTS = """
import resource, torch
from sauropod.train.host_memory import keep_freed_memory
{keep}
torch.ones(32 << 20)  # 128 MiB
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
torch.ones(16 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: str) -> int:
    command = [sys.executable, "-c", FAULTS.format(keep=keep)]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    return int(subprocess.run(command, check=True, capture_output=True, env=environment).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_freed_memory_is_not_faulted_in_again() -> None:
    assert faults("keep_freed_memory()") < 100 < faults("")


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not host_memory.keep_freed_memory()
