"""Rows in memory become a pipeline by themselves."""

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch

from data_pipelines.prepared.prepare import prepare
from data_pipelines.prepared.shard_files import load_shard
from data_pipelines.prepared.sources.array_pipeline import DTYPES, ArrayPipeline
from data_pipelines.storage.folder import Folder


def arrays(num_rows: int, dtype: str = "float32", seed: int = 0) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed).integers(0, 2, size=(num_rows, 2, 3))
    return {"x": values.astype(dtype), "y": np.arange(num_rows)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_stored_rows_are_the_arrays_again(dtype, tmp_path):
    given = {"train": arrays(7, dtype), "test": arrays(3, dtype, seed=1)}
    pipeline = ArrayPipeline(given)
    manifest = prepare(pipeline, Folder(str(tmp_path / "data")), rows_per_shard=4)
    assert manifest.num_rows("train") == 7 and manifest.data_spec["x"] == {"dtype": dtype, "shape": [2, 3]}
    for split, values in given.items():
        tables = [load_shard(Folder(str(tmp_path / "data")), shard, pipeline) for shard in manifest.splits[split]]
        batch = pipeline.collate(pa.concat_tables(tables))
        assert batch["x"].numpy().dtype == values["x"].dtype and batch["y"].dtype == torch.int64
        assert np.array_equal(batch["x"].numpy(), values["x"]) and np.array_equal(batch["y"].numpy(), values["y"])


def test_rows_are_read_from_any_row_on():
    pipeline = ArrayPipeline({"train": arrays(10)})
    batch = pipeline.collate(pa.concat_tables(pipeline.read_raw("train", 4)))
    assert batch["y"].tolist() == list(range(4, 10)) and not list(pipeline.read_raw("val", 0))


def test_big_endian_and_strided_arrays_are_stored_alike():
    given = arrays(6)
    other = {"x": given["x"].astype(">f4"), "y": np.arange(12)[::2] // 2}
    first, second = ArrayPipeline({"train": given}), ArrayPipeline({"train": other})
    assert first.key == second.key


def test_the_key_follows_the_arrays_and_the_data_spec():
    keys = {
        ArrayPipeline({"train": arrays(6)}).key,
        ArrayPipeline({"train": arrays(6, seed=2)}).key,
        ArrayPipeline({"train": arrays(6), "val": arrays(6)}).key,
        ArrayPipeline({"train": arrays(6)}, data_spec={"class_names": ["a"]}).key,
        ArrayPipeline({"train": {"x": arrays(6)["x"].reshape(6, 6), "y": arrays(6)["y"]}}).key,
    }
    assert len(keys) == 5


def test_a_pickled_pipeline_holds_no_arrays_and_still_collates():
    pipeline = ArrayPipeline({"train": arrays(1000)})
    content = pickle.dumps(pipeline)
    assert len(content) < 2000
    again = pickle.loads(content)
    assert again.collate(pipeline.make_fake_rows(5, seed=0))["x"].shape == (5, 2, 3)


def test_a_batch_of_no_rows_keeps_its_form():
    pipeline = ArrayPipeline({"train": arrays(4)})
    batch = pipeline.collate(next(iter(pipeline.read_raw("train", 0))).slice(0, 0))
    assert batch["x"].shape == (0, 2, 3) and batch["x"].dtype == torch.float32


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"test": arrays(2)}, "the splits are test; give train"),
        ({"train": arrays(2), "valid": arrays(2)}, "the splits are train, valid"),
        ({"train": {"x": np.zeros(3), "y": np.zeros(4)}}, "train: every array needs the same number of rows"),
        ({"train": {"x": np.zeros(0)}}, "at least 1"),
        ({"train": {"x": np.float32(3)}}, "train/x is float32 of shape"),
        ({"train": {"x": np.array(["a"])}}, "one of the dtypes bool"),
        ({"train": {"x": np.zeros((2, 0))}}, r"train/x is float64 of shape \[2, 0\]"),
        ({"train": arrays(2), "test": arrays(2, "float64")}, "test holds .*float64.* but train holds"),
        ({"train": arrays(2), "test": {"x": arrays(2)["x"]}}, "names, dtypes and row shapes must agree"),
    ],
)
def test_arrays_that_do_not_fit_are_named(splits, words):
    with pytest.raises(ValueError, match=words):
        ArrayPipeline(splits)
