"""What the doctor makes of a profile and of two machines."""

from pathlib import Path

import pytest

from sauropod.doctor import Finding, compare, facts, given, not_here, partitions_of, told
from sauropod.errors import InputError


def test_partitions_of_a_profile(tmp_path: Path) -> None:
    profile = tmp_path / "config.yaml"
    profile.write_text(
        "default-resources: {slurm_partition: cpu}\n"
        "set-resources: {a: {slurm_partition: gpu}, b: {runtime: 3}, c: {slurm_partition: gpu}}\n"
    )
    assert partitions_of(profile) == {"cpu": False, "gpu": True}
    profile.write_text("executor: slurm\n")
    with pytest.raises(InputError, match="slurm_partition, found none"):
        partitions_of(profile)


def test_only_differences_are_told(tmp_path: Path) -> None:
    here = facts([tmp_path])
    (same,) = compare(here, here, where="n1", gpu=False)
    assert same.good
    there = {**here, "torch": "0.1", "unseen": "/x/mark, /data", "gpus": "0"}
    texts = [f.text for f in compare(here, there, where="n1", gpu=True) if not f.good]
    assert texts[0] == f"n1: torch is 0.1, here it is {here['torch']}"
    assert texts[1] == "n1: does not see /x/mark, /data"
    assert texts[2].startswith("n1: torch sees 0 GPU, NCCL ")
    assert told([Finding(False, "x"), Finding(True, "y")]) == "BAD  x\nok   y\n"


def test_data_of_a_configuration(tmp_path: Path) -> None:
    assert given([]) == not_here([]) == []
    config = tmp_path / "mine.yaml"
    config.write_text(
        f"pool: [{{name: a, path: {tmp_path}, kind: folder}}, {{name: b, path: gone}}]\n"
    )
    paths = given([config])
    assert {tmp_path, Path("gone").absolute()} <= set(paths)
    assert Finding(False, f"{Path('gone').absolute()}: nothing there") in not_here(paths)
    assert not_here([tmp_path]) == [Finding(True, "1 datasets and weights are there")]
