"""The list of what a run left undone, from logs as Snakemake 9.27 writes them."""

from pathlib import Path

from sauropod.missing import missing, newest_log, told

SINGLE = """[Sat Nov 21 02:00:00 2026]
Error in rule screen:
    message: None
    jobid: 3
    input: results/ingest/a-00000.parquet
    output: results/screen/a-00000.parquet, results/screen/a-00000.tar (temp)
    log: logs/screen/a-00000.log (check log file(s) for error details)
    shell:
        python screen.py
        (command exited with non-zero exit code)
    external_jobid: 12
"""
GROUP = """[Sat Nov 21 02:01:00 2026]
    message: SLURM-job '13' failed, SLURM status is: 'OUT_OF_MEMORY'. Detailed failure reason ...
    log: logs/slurm/group_hash/13.log (check log file(s) for error details)
    jobs:
        rule hash:
            jobid: 4
            output: results/hash/a-00000.parquet
            log: logs/hash/a-00000.log (check log file(s) for error details)
        rule hash:
            jobid: 5
            output: results/hash/a-00001.parquet
            log: logs/hash/a-00001.log (check log file(s) for error details)
"""
DONE = "[Sat Nov 21 02:02:00 2026]\nFinished jobid: 9 (Rule: links)\n"


def run(folder: Path, *entries: str) -> Path:
    """A folder Snakemake ran in, with that log."""
    log = folder / ".snakemake" / "log" / "2026-11-21T020000.000000.snakemake.log"
    log.parent.mkdir(parents=True)
    log.write_text("Building DAG of jobs...\n" + "".join(entries))
    return log


def test_a_job_is_listed_with_its_tries_and_its_own_sentence(tmp_path: Path) -> None:
    log = run(tmp_path, SINGLE, DONE, SINGLE)
    (tmp_path / "logs" / "screen").mkdir(parents=True)
    (tmp_path / "logs/screen/a-00000.log").write_text("start\nnsfw.onnx: expected a model\n\n")
    (found,) = missing(log, tmp_path)
    assert found.rule == "screen"
    assert found.outputs == ("results/screen/a-00000.parquet", "results/screen/a-00000.tar")
    assert found.failures == 2
    assert found.why == "logs/screen/a-00000.log: nsfw.onnx: expected a model"


def test_members_of_a_group_that_are_there_are_not_missing(tmp_path: Path) -> None:
    log = run(tmp_path, GROUP, DONE)
    (tmp_path / "results" / "hash").mkdir(parents=True)
    (tmp_path / "results/hash/a-00000.parquet").touch()
    (found,) = missing(log, tmp_path)
    assert found.outputs == ("results/hash/a-00001.parquet",)
    assert found.why == "Slurm says OUT_OF_MEMORY"
    assert told([found]).startswith("results/hash/a-00001.parquet\n    hash, failed 1 x: Slurm")


def test_nothing_failed(tmp_path: Path) -> None:
    assert newest_log(tmp_path) is None
    log = run(tmp_path, DONE)
    assert newest_log(tmp_path) == log
    assert told(missing(log, tmp_path)) == "no job failed\n"
