"""A pickle in every place where one could hide: it is data, or it is refused; what it would do is never done."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import SafetensorError

from pipeline.store import LocalStore
from tasks.errors import TaskError
from tasks.ingest import IngestConfig, ingest
from tasks.models.load import load_model
from tasks.shards.corpus import Corpus
from tasks.shards.pool import read_unit, rows_name
from tasks.shards.read import ShardSet
from tasks.training import state
from tests.chaos.malformed import CANARY, Canary, pickled
from tests.tasks.models.test_load import folder as model_folder
from tests.tasks.shards.corpora import make_shards, texts, write_corpus
from tests.tasks.sources.toys import context
from tests.tasks.training.test_state import saved

__all__ = ["model_folder"]

REFUSALS = (TaskError, SafetensorError, ValueError)


@pytest.fixture(autouse=True)
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The canary would appear in the working folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield
    assert not list(tmp_path.rglob(CANARY))


def hidden(tmp_path: Path) -> Iterator[bytes]:
    """As Python writes them, and as torch does."""
    yield pickled(0)
    yield pickled(4)
    torch.save({"weights": Canary()}, tmp_path / "saved.pt")
    yield (tmp_path / "saved.pt").read_bytes()


def test_the_canary_sings_when_it_is_unpickled(tmp_path: Path) -> None:
    import pickle

    pickle.loads(pickled())
    assert Path(CANARY).exists()
    Path(CANARY).unlink()
    for data in hidden(tmp_path):
        assert b"touch" in data


def test_a_pickle_in_a_table_is_data(tmp_path: Path) -> None:
    """In a column, as an extension type that Arrow once unpickled, and as the metadata that pandas reads."""
    kind = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickled(0)}
    schema = pa.schema([pa.field("image", pa.binary(), metadata=kind), pa.field("label", pa.string())], metadata={"pandas": pickled(0)})
    pq.write_table(pa.table([pa.array([pickled(), b"x"]), pa.array(["a", "b"])], schema=schema), tmp_path / "t.parquet")
    source = {"format": "table", "path": "t.parquet", "columns": {"image": {"column": "image", "inline": True}}, "labels": ["label"]}
    (tmp_path / "out").mkdir()
    assert ingest(IngestConfig.model_validate({"source": source}), {}, tmp_path / "out", context(tmp_path))["records"] == 2


@pytest.mark.parametrize("name", ["model.safetensors", "model.json", "fits/text.json", "fits/image.json"])
def test_a_pickle_in_a_model_folder_is_refused(model_folder: Path, tmp_path: Path, name: str) -> None:
    load_model(model_folder)
    for data in hidden(tmp_path):
        (model_folder / name).write_bytes(data)
        with pytest.raises(TaskError):
            load_model(model_folder)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "checkpoint.json"])
def test_a_pickle_in_a_checkpoint_is_refused_even_when_its_digest_fits(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "checkpoints")
    for data in hidden(tmp_path):
        (path / name).write_bytes(data)
        if name != "checkpoint.json":
            index = json.loads((path / "checkpoint.json").read_bytes())
            index["files"][name] = hashlib.sha256(data).hexdigest()
            (path / "checkpoint.json").write_text(json.dumps(index))
        with pytest.raises(REFUSALS):
            found = state.read(path)
            found.model()
            found.optimizer()


def test_a_pickle_in_a_corpus_in_shards_or_in_the_pool_is_refused(tmp_path: Path) -> None:
    store = LocalStore.open(tmp_path / "store")
    corpus, made = write_corpus(tmp_path / "corpus", texts(30)), tmp_path / "made"
    make_shards(made, corpus, store, fit={"text": {"vocab_size": 300}})
    unit = json.loads((made / "shards.json").read_text())["shards"][0]["unit"]
    rows = store.local_path(rows_name(unit))
    reads = {
        corpus.path / "corpus.json": lambda: Corpus.open(corpus.path),
        corpus.path / "records.parquet": lambda: Corpus.open(corpus.path),
        made / "shards.json": lambda: ShardSet.open(made),
        made / "index.parquet": lambda: ShardSet.open(made).keys("train"),
        made / "labels.parquet": lambda: ShardSet.open(made).labels("train"),
        made / "fits" / "text.json": lambda: ShardSet.open(made).fit("text"),
        made / "fits" / "tokenizer.json": lambda: reader(made),
        made / "shards" / "train-000000.tar": lambda: ShardSet.open(made).samples("train", [0]),
        rows: lambda: read_unit(store, unit),
    }
    for path, read in reads.items():
        read()
        kept = tmp_path / "kept"
        shutil.copyfile(path, kept)
        path.chmod(0o644)
        for data in hidden(tmp_path):
            path.write_bytes(data)
            with pytest.raises(REFUSALS):
                read()
        shutil.copyfile(kept, path)


def reader(shards: Path) -> object:
    from tasks.modalities import MODALITIES

    entry = MODALITIES["text"]
    return entry.load().reader(entry.read(), ShardSet.open(shards).fit("text"))
