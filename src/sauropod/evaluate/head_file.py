"""A trained linear head as a file: its weights, what it reads and the names of its classes."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from sauropod import io
from sauropod.errors import InputError
from sauropod.evaluate.linear import Head, Read


def save_head(head: Head, path: Path, *, classes: Sequence[str], stamp: Mapping[str, str]) -> None:
    """Write a head, atomically.

    Args:
        head: What was trained.
        path: safetensors file to write.
        classes: Names of its C classes.
        stamp: Provenance from `io.stamp`.
    """
    tensors = {"weight": head.weight.cpu().contiguous(), "bias": head.bias.cpu().contiguous()}
    facts = {"learning_rate": head.learning_rate, **head.reads._asdict(), "classes": list(classes)}
    with io.replacing(path) as temporary:
        save_file(tensors, temporary, metadata={**stamp, "head": json.dumps(facts)})


def load_head(path: Path) -> tuple[Head, tuple[str, ...]]:
    """Read a head and the names of its classes.

    Raises:
        InputError: not a file that `save_head` wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["head"])
            weight, bias = file.get_tensor("weight"), file.get_tensor("bias")
    except Exception as error:  # junk makes the reader fail in any way
        fix, found = "name the head that evaluate wrote", str(error).splitlines()[0]
        raise InputError(path, expected="a linear head", found=found, fix=fix) from None
    reads = Read(facts["num_blocks"], facts["avgpool"])
    return Head(facts["learning_rate"], reads, weight, bias), tuple(facts["classes"])
