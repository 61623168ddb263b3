"""retrieve.vector_file: plain safetensors, filled and read through a map."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from sauropod.errors import InputError
from sauropod.retrieve import vector_file


@pytest.mark.parametrize("shape", [(5, 3), (1, 1), (0, 4)])
def test_it_is_safetensors(shape: tuple[int, int], tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    told = {"inputs": '["a-{00000..00001}.parquet"]'}
    vectors = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
    out = vector_file.create(path, shape, metadata=told)
    out[:] = vectors
    with safe_open(path, framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("vectors"), vectors)
        assert file.metadata() == told
    np.testing.assert_array_equal(vector_file.mapped(path), vectors)
    assert vector_file.inputs(path) == (Path("a-00000.parquet"), Path("a-00001.parquet"))


def test_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "v.safetensors"
    vector_file.create(path, (5, 3), metadata={})
    path.write_bytes(path.read_bytes()[:-2])
    for where in (path, tmp_path / "missing", Path(__file__)):
        with pytest.raises(InputError, match="expected a file of vectors"):
            vector_file.mapped(where)
