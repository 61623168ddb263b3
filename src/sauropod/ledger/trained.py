"""Which weights were trained on images that are forgotten now.

A backbone's JSON names the SHA-256 of its manifest and of the weights it came from; a manifest that
was rewritten names what it was before. Other fitted files (descriptor, PCA, centroids) name the
tables they were fitted on.
"""

import json
from pathlib import Path

import polars as pl
from safetensors import SafetensorError, safe_open

from sauropod import io, schema
from sauropod.ledger.catalogue import Catalogue
from sauropod.ledger.forget import BEFORE, COUNT
from sauropod.series import unfold


def backbones(tables: Catalogue) -> list[str]:
    """Weights trained on a manifest as it was before something was forgotten, and their heirs.

    Returns:
        Paths of weights, sorted.
    """
    before: set[str] = set()
    for path in tables.files(schema.MANIFEST):
        before |= set(json.loads(pl.read_parquet_metadata(path).get(BEFORE, "[]")))
    facts = {path: json.loads(path.read_text()) for path in tables.results.rglob("*.json")}
    facts = {path: told for path, told in facts.items() if _is_training(told)}
    found = {path for path, told in facts.items() if told["manifest_sha256"] in before}
    while True:
        tainted = {io.sha256_file(_weights(path)) for path in found if _weights(path).exists()}
        heirs = {path for path, told in facts.items() if tainted & set(told["weights"].values())}
        if heirs <= found:
            return sorted(str(_weights(path)) for path in found)
        found |= heirs


def told(tables: Catalogue) -> str:
    """Spell both lists."""
    lists = {"trained on forgotten images": backbones(tables), "fitted on them": fitted(tables)}
    return "".join(f"{title}: {', '.join(paths) or 'none'}\n" for title, paths in lists.items())


def _is_training(told: object) -> bool:
    return isinstance(told, dict) and {"manifest_sha256", "weights"} <= told.keys()


def _weights(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def fitted(tables: Catalogue) -> list[str]:
    """Other files fitted on tables that have forgotten images since.

    Returns:
        Paths, sorted.
    """
    held = (schema.IMAGES, schema.DESCRIPTORS, schema.EMBEDDINGS)
    changed = {path.resolve() for table in held for path in tables.files(table) if _lost(path)}
    found = []
    for path in sorted(tables.results.rglob("*.safetensors")):
        inputs = {(tables.results.parent / name).resolve() for name in _inputs(path)}
        if inputs & changed and not any(path.parent.glob("*.json")):  # a backbone's are above
            found.append(str(path))
    return found


def _lost(path: Path) -> bool:
    return COUNT in pl.read_parquet_metadata(path)


def _inputs(path: Path) -> tuple[Path, ...]:
    try:
        with safe_open(path, framework="np") as file:
            told = (file.metadata() or {}).get("inputs", "[]")
    except SafetensorError:
        return ()
    return unfold(map(Path, json.loads(told)))
