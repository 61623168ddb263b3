from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sauropod import io, schema
from sauropod.errors import InputError
from sauropod.report.provenance import Timing, made_by, timings


def test_parquet_and_weights_say_what_made_them(tmp_path: Path) -> None:
    stamp = io.stamp("screen", knobs={"b": 1, "a": 0.5}, inputs=[Path("x")])
    frame = schema.summary("screen", "s", kept=3, dropped={})
    schema.write(frame, tmp_path / "s.parquet", schema.SUMMARY, made_by=stamp)
    made = made_by(tmp_path / "s.parquet")
    assert (made.stage, made.rows, made.knobs, made.inputs) == ("screen", "1", "a=0.5, b=1", ("x",))
    save_file({"w": np.zeros(2)}, tmp_path / "w.safetensors", metadata=stamp)
    assert made_by(tmp_path / "w.safetensors").stage == "screen"


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"junk")
    (tmp_path / "x.safetensors").write_bytes(b"junk")
    for name in ("x.parquet", "x.safetensors", "none.parquet"):
        with pytest.raises(InputError, match="a Parquet or safetensors file"):
            made_by(tmp_path / name)


def test_timings_add_up_by_rule(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = {"embed/a.tsv": "3.5\t100", "embed/b.tsv": "1.0\tNA", "dedup.tsv": "9\t50"}
    paths = []
    for name, row in rows.items():
        paths.append(tmp_path / "benchmarks" / name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        paths[-1].write_text(f"s\tmax_rss\n{row}\n")
    found = timings([*paths, tmp_path / "gone.tsv"])
    assert found == [Timing("dedup", 1, 9.0, 9.0, 50.0), Timing("embed", 2, 4.5, 3.5, 100.0)]
    assert "1 of 4 benchmark files" in caplog.text
    paths[0].write_text("a\tb\n1\t2\n")
    with pytest.raises(InputError, match="a column s"):
        timings(paths)
