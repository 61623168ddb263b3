"""The house's own rules: sizes, names, docstrings, one test file per stage script."""

import ast
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "src").glob("*.py"))
MODULES = sorted((ROOT / "src" / "sauropod").rglob("*.py"))
IN_ONE_FILE = {"pretrain", "adapt", "distill"}  # tests/stages/test_training.py


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_short_and_tested_and_shadows_nothing(script: Path) -> None:
    assert len(script.read_text().splitlines()) <= 150
    name = "training" if script.stem in IN_ONE_FILE else script.stem
    assert (ROOT / "tests" / "stages" / f"test_{name}.py").exists()
    assert script.stem not in sys.stdlib_module_names
    assert script.stem not in packages_distributions(), "it would hide an installed package"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_a_module_is_within_budget_and_says_what_it_is(module: Path) -> None:
    text = module.read_text()
    assert len(text.splitlines()) <= 400
    assert module.name == "__init__.py" or ast.get_docstring(ast.parse(text))
    assert module.stem not in {"utils", "helpers", "base", "misc"}


def test_nothing_names_a_machine() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    paths = [ROOT / name for name in listed if not name.endswith((".npz", ".parquet"))]
    texts = {path: path.read_text(errors="replace") for path in paths if path.is_file()}
    local = "/" + "work" + "/"
    assert [str(path) for path, text in texts.items() if local in text] == []
