import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from sauropod.errors import InputError
from sauropod.report.page import Tables, render
from sauropod.report.plates import WIDTH, read_plates


def test_plates_are_shrunk_and_shown_by_model(tmp_path: Path) -> None:
    names = ["main.pca", "main.attention", "other_1.pca"]
    paths = [tmp_path / f"{name}.png" for name in names]
    for i, path in enumerate(paths):
        Image.new("RGB", (2 * WIDTH if i else 300, 100), "red").save(path)
    found = read_plates(paths)
    assert {model: len(pictures) for model, pictures in found.items()} == {"main": 2, "other_1": 1}
    sizes = []
    for picture in [*found["main"], *found["other_1"]]:
        assert picture.src
        with Image.open(io.BytesIO(base64.b64decode(picture.src.partition(",")[2]))) as image:
            sizes.append(image.size)
    assert sizes == [(300, 100), (WIDTH, 50), (WIDTH, 50)]
    html = render(Tables(title="t", commit="c", plates=found))
    assert html.count('class="plate"') == 3
    assert '<a href="#plates">' in html
    assert "main: Attention" in html


def test_a_broken_plate_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run visualise again"):
        read_plates([tmp_path / "main.pca.png"])
    (tmp_path / "main.pca.png").write_bytes(b"junk")
    with pytest.raises(InputError, match="expected a PNG"):
        read_plates([tmp_path / "main.pca.png"])
