"""The workflow as a user meets it: plans, lints, refuses mistakes, reruns what changed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ["--configfile", str(ROOT / "config" / "demo.yaml")]
TINY_WORLD = (
    "demo={pool_images: 40, curated_objects: 16, curated_fine: 8, curated_places: 4, "
    "train_per_class: 1, val_per_class: 1, large_per_class: 3, dense_images: 4, instances: 2, "
    "clips_per_action: 1, detector_images: 8}"
)


def snakemake(*flags: str, directory: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run snakemake in a directory of its own."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    command += ["--directory", str(directory), *flags]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= variables
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_demo_plans_every_stage(tmp_path: Path) -> None:
    plan = snakemake("-n", "--quiet", "rules", *DEMO, directory=tmp_path)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    stages = "world links ingest_pool screen describe hash link dedup embed index cluster retrieve"
    later = (
        "manifest pretrain adapt distill evaluate evaluate_instance visualise overlay truth report"
    )
    for rule in f"{stages} {later}".split():
        assert f"\n{rule} " in plan.stdout + plan.stderr, rule


def test_picture_of_the_dag_is_in_step(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    shown = snakemake("--rulegraph", "mermaid-js", *DEMO, directory=tmp_path).stdout
    picture = ROOT / "workflow" / "report" / "dag.mmd"
    if request.config.getoption("--fix"):
        picture.write_text(shown)
    lines, drawn = picture.read_text().splitlines(), shown.splitlines()
    assert edges(lines) == edges(drawn), "run `pytest test_snakemake.py --fix`"


def edges(mermaid: list[str]) -> set[tuple[str, str]]:
    """Arrows of a mermaid graph, by the names of their ends."""
    nodes = dict(re.findall(r"^\t(id\d+)\[(\w+)\]", "\n".join(mermaid), re.MULTILINE))
    arrows = re.findall(r"^\t(id\d+) -+> (id\d+)", "\n".join(mermaid), re.MULTILINE)
    assert nodes
    assert arrows
    return {(nodes[a], nodes[b]) for a, b in arrows}


def test_paper_plans_on_slurm_without_any_data(tmp_path: Path) -> None:
    smaller = "pool=[{name: crawl, kind: wat, path: w.paths, link_parts: 20, shards: 40}]"
    profile = str(ROOT / "slurm")
    flags = ["-n", "--quiet", "rules", "--profile", profile, "--config", smaller]
    plan = snakemake(*flags, directory=tmp_path)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert list(tmp_path.glob("results")) == []


def test_lint_is_clean(tmp_path: Path) -> None:
    lint = snakemake("--lint", *DEMO, directory=tmp_path)
    assert lint.returncode == 0, lint.stdout + lint.stderr


def test_misspelt_knob_stops_before_any_job(tmp_path: Path) -> None:
    run = snakemake("-n", *DEMO, "--config", "cluster={cluster: 3}", directory=tmp_path)
    assert run.returncode == 2
    sentence = "cluster: expected a known knob, found 'cluster'; write 'clusters'"
    assert sentence in run.stderr.splitlines()[-1]


def test_missing_datasets_are_named_before_any_job(tmp_path: Path) -> None:
    flags = ["--cores", "1", "--config", "pool=[{name: mine, path: nowhere}]", "curated=[]"]
    run = snakemake(*flags, directory=tmp_path)
    assert run.returncode == 2, run.stdout + run.stderr
    assert "found nothing at nowhere" in run.stderr
    again = snakemake(*flags, directory=tmp_path)
    assert "found nothing at nowhere" in again.stderr, "the directory stayed locked"


QUEUE = """#!/bin/sh
echo asked >> calls
[ -e cancelled ] || [ $(wc -l < calls) -eq 1 ] || echo ours
"""


def test_jobs_that_a_failed_run_forgot_are_cancelled(tmp_path: Path) -> None:
    """A `squeue` that has a job of this folder's after the start, and a `python` that fails."""
    (tmp_path / "bin").mkdir()
    fakes = {"squeue": QUEUE, "scancel": "#!/bin/sh\necho $* > cancelled\n", "python": "false\n"}
    for name, text in fakes.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    log = tmp_path / ".snakemake" / "log" / "earlier.log"
    log.parent.mkdir(parents=True)
    log.write_text("SLURM run ID: ours\n")
    path = f"{tmp_path}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
    ending = ["--", "world/truth.parquet"]
    run = snakemake("--cores", "1", *DEMO, *ending, directory=tmp_path, PATH=path)
    assert run.returncode == 1
    assert (tmp_path / "cancelled").read_text() == "ours\n"


@pytest.mark.slow
def test_only_what_changed_reruns(tmp_path: Path) -> None:
    flags = ["--cores", "1", *DEMO, "--config", TINY_WORLD]
    ending = ["--", *(f"results/ingest/crawl-0000{part}.parquet" for part in range(2))]
    first = snakemake(*flags, *ending, directory=tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert not list(tmp_path.glob("results/ingest/.*")), "temporary files are left"
    second = snakemake(*flags, *ending, directory=tmp_path)
    assert "Nothing to be done" in second.stdout + second.stderr
    changed = ["-n", *flags, "ingest={min_side: 17}", *ending]
    plan = snakemake(*changed, directory=tmp_path)
    told = plan.stdout + plan.stderr
    assert "rule ingest_pool:" in told
    assert "Params have changed" in told
    assert "rule links:" not in told
    assert "rule world:" not in told


FAKE = """#!/bin/bash
while [ $# -gt 0 ]; do
  case "$1" in --out*|--summary|--screened|--uncurated)
    mkdir -p "$(dirname "$2")"; echo > "$2";;
  esac
  shift
done
"""


def test_an_appended_crawl_redoes_nothing_old(tmp_path: Path) -> None:
    """A finished run made by a `python` that only touches what it is to write.

    Of the old shards only indexes of embeddings are made again, and what is merged of searches.
    """
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text(FAKE)
    fake.chmod(0o755)
    (tmp_path / "photos").mkdir()
    blocks = ["curated=[{name: good, path: photos}]", "benchmarks=[]", "link={shards_per_block: 1}"]
    blocks += ["manifest={recipe: ['good:sample:4', 'good:cluster']}", "embed={weights: photos}"]
    blocks += ["describe={weights: photos}", "screen={nsfw_model: photos, faces_model: photos}"]
    old = "{name: old, path: photos, shards: 2}"
    path = f"{fake.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    ending = ["--", "results/manifest/lvd.parquet"]
    pool = ["--config", *blocks, f"pool=[{old}]", *ending]
    first = snakemake("--cores", "2", *pool, directory=tmp_path, PATH=path)
    assert first.returncode == 0, first.stdout + first.stderr
    pool = ["--config", *blocks, f"pool=[{old}, {{name: late, path: photos}}]", *ending]
    plan = snakemake("-n", *pool, directory=tmp_path, PATH=path)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    told = plan.stdout + plan.stderr
    outputs = re.findall(r"^    output: (.*)$", told, re.MULTILINE)
    again = [path for paths in outputs for path in paths.split(", ") if "late" not in path]
    merged = ["old-block-00000", "old-block-00001", "all-references-00000"]
    whole = ["hash/duplicates", "hash/summary", "dedup/copies", "dedup/summary", "retrieve/good"]
    whole += ["retrieve/good.summary", "manifest/lvd", "manifest/uncurated", "manifest/summary"]
    whole += [f"link/{name}{end}" for name in merged for end in ("", ".summary")]
    whole += ["index/old-block-00000.summary"]
    expected = [f"results/{name}.parquet" for name in whole]
    assert sorted(again) == sorted([*expected, "results/index/old-block-00000.faiss"])
    searches = {path for path in outputs if path.startswith("results/link/parts/")}
    assert len(searches) == 4 * 3 - 3 * 2
    late = [path for path in outputs if "late" in path]
    for stage in ("describe", "screen", "hash", "embed", "cluster", "link/index"):
        assert any(f"results/{stage}/late" in path for path in late), stage
    changed = ["dedup={copy_threshold: 0.7}", "cluster={clusters: 7}", *pool[1:]]
    plan = snakemake("-n", "--config", *changed, directory=tmp_path, PATH=path)
    told = plan.stdout + plan.stderr
    clusters = ("cluster/centroids", "cluster/old-block-00000")
    for again in ("embed/old-00000", "embed/old-00001", *clusters):
        assert f"output: results/{again}." in told, "a knob that is changed along is overlooked"
    assert "output: results/embed/good" not in told
