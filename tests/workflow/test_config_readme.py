"""config/README.md says every table and every knob, exactly as the code does (`pytest --fix`)."""

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest

from sauropod import config, schema
from sauropod.evaluate import config as evaluate
from sauropod.launch.config import Launch
from sauropod.load_config import STAGES, TRAINING
from sauropod.train import config as train

README = Path(__file__).parents[2] / "config" / "README.md"
HEAD = """# Configuration and tables

Generated from the code (`pytest tests/workflow/test_config_readme.py --fix`); do not edit by hand.

`lvd142m.yaml` is the paper's recipe and the default; `demo.yaml` and `photos.yaml` say only what
differs and are given with `--configfile`. A block below is a block of the YAML; a key that is not
given has its default. A misspelt key stops before any job and names the right one. Values can be
set on the command line too: `--config 'embed={crop: 256}'`.

`pool` and `curated` are lists of sources, `benchmarks` of what is measured on (`benchmarks.yaml`
has all of the paper). `models` names further backbones to measure beside ours (`{meta_s: x.pth}`;
also a folder of Hugging Face, or timm's safetensors). `ablations` names rows of models to compare,
for the target of that name. `runs` names further pretraining runs to compare with: each gives
`data` (lvd, uncurated, balanced or curated) and the knobs of `pretrain` it changes.
`data: balanced` on a line of its own trains the main run without any curated set.
`speed` gives a stage flags that change no result (`speed: {pretrain: {num_workers: 8}}`); where a
training runs and on how many GPUs is a resource of its rule (`--set-resources
"pretrain:launch=--launcher=local --gpus-per-node=8"`, or a profile), see `launch` below.

`presets/` holds published training recipes and some for small data, each with its source, hardware
and published result; `presets/ladder/` the rungs of the paper's Table 1, of which `diff` shows the
one thing that changes. A preset goes over the paper's configuration, or gives a script its knobs:
`snakemake --configfile config/presets/dinov2_l14.yaml ...`,
`python src/pretrain.py --config config/presets/tiny_cpu.yaml ...`; flags of the script win.
"""


def knob_docs(kind: type) -> dict[str, str]:
    """Read the docstring under each field of a dataclass."""
    tree = ast.parse(inspect.getsource(kind)).body[0]
    assert isinstance(tree, ast.ClassDef)
    docs = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        text = below.value if isinstance(below, ast.Expr) else None
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Constant):
            docs[ast.unparse(field.target)] = " ".join(str(text.value).split())
    return docs


def knob_rows(kind: type, default: object, prefix: str = "") -> list[str]:
    """Render one line per knob, nested blocks with dots."""
    rows = []
    docs = knob_docs(kind)
    for field in dataclasses.fields(kind):
        value = getattr(default, field.name, None)
        if dataclasses.is_dataclass(value):
            rows += knob_rows(type(value), value, f"{prefix}{field.name}.")
            continue
        shown = "*required*" if default is None and field.default is dataclasses.MISSING else None
        value = field.default if default is None else value
        shown = shown or f"`{list(value) if isinstance(value, tuple) else value!r}`"
        rows.append(f"| `{prefix}{field.name}` | {shown} | {docs[field.name]} |")
    return rows


def knob_section(title: str, kind: type, default: object) -> str:
    """Render a block of knobs."""
    doc = " ".join((kind.__doc__ or "").split())
    head = [f"### `{title}`", "", doc, "", "| knob | default | meaning |", "|---|---|---|"]
    return "\n".join([*head, *knob_rows(kind, default)])


def table_section(table: schema.Table) -> str:
    """Render a table's columns."""
    key = ", ".join(f"`{name}`" for name in table.key)
    head = [
        f"### {table.name}",
        "",
        f"{table.doc} Key: {key}.",
        "",
        "| column | type |",
        "|---|---|",
    ]
    rows = [f"| `{name}` | {kind_name(kind)} |" for name, kind in table.columns.items()]
    return "\n".join([*head, *rows])


def kind_name(kind: object) -> str:
    """Spell a column type; vectors have the width of their model."""
    if kind == schema.VECTOR:
        return "Array(Float16, width)"
    text = str(kind)
    return text if len(text) < 60 else text.split("(")[0]


def layouts() -> str:
    """Render the layouts of every kind of benchmark."""
    rows = [
        f"| {kind} | `{evaluate.STAGE_OF[kind]}` | {', '.join(known)} |"
        for kind, known in evaluate.LAYOUTS.items()
    ]
    return "\n".join(["| kind | script and knobs | layouts |", "|---|---|---|", *rows])


def render() -> str:
    """Render the whole page."""
    knobs = [knob_section("pool, curated", config.Source, None)]
    knobs.append(knob_section("benchmarks", evaluate.Benchmark, None) + "\n\n" + layouts())
    knobs += [knob_section(stage, kind, kind()) for stage, kind in STAGES.items()]
    assert train.Pretrain in STAGES.values()
    knobs.append(knob_section(f"speed of {', '.join(TRAINING)}", train.Speed, train.Speed()))
    knobs.append(knob_section(f"launch of {', '.join(TRAINING)}", Launch, Launch()))
    tables = [table_section(table) for table in schema.TABLES]
    return "\n\n".join([HEAD.rstrip(), "## Knobs", *knobs, "## Tables", *tables]) + "\n"


def test_config_readme_is_in_sync(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--fix"):
        README.write_text(render())
    assert README.read_text() == render(), f"run `pytest {Path(__file__).name} --fix`"
