from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageColor

from sauropod.report.curves import Run, read_run
from sauropod.report.sheet import SCALE, STYLE, Pen, save_all, sheet


def _run(folder: Path, **columns: list[float]) -> Run:
    path = folder / "pretrain" / "main" / "log.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"step": [1, 2, 3], **columns}).write_parquet(path)
    return read_run(path)


def _colours(image: Image.Image) -> set[object]:
    return {colour for _, colour in image.getcolors(maxcolors=1 << 24)}


def test_every_line_is_painted_in_the_pages_colours(tmp_path: Path) -> None:
    run = _run(tmp_path, **{f"loss/{name}": [1.0, 5.0, i] for i, name in enumerate("ab")})
    image = sheet(run)
    seen = _colours(image)
    for colour in ("#0d7a6f", "#d2691e"):
        assert colour in STYLE.read_text()
        assert ImageColor.getrgb(colour) in seen
    assert ImageColor.getrgb("#4363d8") not in seen, "there is no third line"


def test_skipped_steps_and_bands_are_painted(tmp_path: Path) -> None:
    red = ImageColor.getrgb("#b42335")
    assert red not in _colours(sheet(_run(tmp_path, loss=[1.0, 2.0, 3.0])))
    marked = _run(tmp_path, loss=[1.0, 2.0, 3.0], skipped=[0.0, 1.0, 1.0])
    assert red in _colours(sheet(marked))


def test_more_charts_make_a_longer_sheet_of_the_same_width(tmp_path: Path) -> None:
    few = sheet(_run(tmp_path, loss=[1.0, 2.0, 3.0]))
    more = {name: [1.0, 2.0, 3.0] for name in ("loss", "images_per_s", "lr")}
    many = sheet(_run(tmp_path, **more))
    assert few.width == many.width
    assert few.height < many.height
    assert sheet(Run("empty", 0, ())).height > 0


def test_text_stands_where_it_is_put() -> None:
    pen = Pen(100, 40)
    pen.text((50, 30), "mmmm", size=12, ink="ink", anchor="end")
    rows, columns = np.nonzero(np.asarray(pen.image.convert("L")) < 200)
    half = SCALE // 2
    assert columns.max() <= 50 * half < columns.max() + 6
    assert rows.max() <= 30 * half < rows.max() + 6


def test_files_are_named_after_runs(tmp_path: Path) -> None:
    save_all([_run(tmp_path, loss=[1.0, 2.0, 3.0])], tmp_path / "curves")
    (path,) = (tmp_path / "curves").iterdir()
    assert path.name == "pretrain-main.png"
    with Image.open(path) as image:
        assert image.format == "PNG"
