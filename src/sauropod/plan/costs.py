"""The planner's two data files, and the fleet that a plan is for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from sauropod.errors import InputError
from sauropod.models.flops import peak_flops

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Paper:
    """What the paper says of its data and machines."""

    funnel: Mapping[str, int]
    curation: Mapping[str, Any]
    pretrain_gpu_hours: int
    datasets: Mapping[str, Mapping[str, int]]


def paper() -> Paper:
    """Read the paper's numbers."""
    return Paper(**yaml.safe_load((HERE / "paper.yaml").read_text()))


def units() -> dict[str, float]:
    """Read the unit costs: name -> value; the file says where each comes from."""
    told = yaml.safe_load((HERE / "unit_costs.yaml").read_text())
    return {name: float(cost["value"]) for name, cost in told.items()}


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """The machines of a plan; cores are shared out evenly among GPUs."""

    gpus: int
    cores: int
    gpu: str
    precision: Literal["bf16", "fp16"] = "fp16"

    @property
    def peak(self) -> float:
        """Operations per second of one GPU at its data sheet's peak.

        Raises:
            InputError: the GPU is not known.
        """
        found = peak_flops(self.gpu, self.precision)
        if found is None:
            fix = "name one of V100, A100, H100, H200, B200, L40S, T4 and so on"
            where = "--gpu"
            raise InputError(where, expected="a known GPU", found=repr(self.gpu), fix=fix)
        return found


def counted(texts: Sequence[str]) -> dict[str, int]:
    """Read counts of images, spelt `dataset=number`.

    Raises:
        InputError: another form.
    """
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        if not name or not number.isdecimal():
            where, fix = "--counts", "write cats=1200"
            raise InputError(where, expected="dataset=images", found=repr(text), fix=fix)
        found[name] = int(number)
    return found
