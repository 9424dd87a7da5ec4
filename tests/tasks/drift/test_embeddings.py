from __future__ import annotations

import numpy as np
import pytest

from tasks.drift.compare import compare
from tasks.drift.embeddings import sketch_embeddings
from tasks.drift.measure import Sample, sketch_samples
from tasks.drift.samples import of_shards
from tasks.drift.sketch import described, joined
from tasks.models.load import LoadedModel, load_model
from tests.tasks.evaluation.artifacts import Prepared, prepare
from tests.tasks.evaluation.example import picture


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def loaded(prepared: Prepared) -> LoadedModel:
    return load_model(prepared.model.path)


def chosen(prepared: Prepared) -> list[Sample]:
    return list(of_shards(prepared.shard_set, "train", 100).samples)


def test_each_sample_has_a_vector_of_each_medium_it_has(prepared: Prepared, loaded: LoadedModel) -> None:
    samples = chosen(prepared)
    raw, seen = sketch_samples(samples, 60, {}), sketch_embeddings(loaded, samples)
    both = joined(raw, seen)
    assert set(seen.vectors) == {"audio.embedding", "image.embedding", "text.embedding"}
    for name, values in seen.vectors.items():
        assert values.shape == (len(samples), 16)
        assert np.array_equal(np.isfinite(values).all(1), both.present[name.split(".")[0]])
    assert not both.present["audio"].all(), "some samples have no sound"
    assert described(both)["image.embedding"]["count"] == len(samples)


def test_vectors_are_those_of_the_encoders_one_by_one(prepared: Prepared, loaded: LoadedModel) -> None:
    samples = chosen(prepared)
    together = sketch_embeddings(loaded, samples)
    for sample in samples[:3]:
        alone = sketch_embeddings(loaded, [sample])
        row = int(np.flatnonzero(together.record_N == alone.record_N[0])[0])
        for name, values in alone.vectors.items():
            assert values[0] == pytest.approx(together.vectors[name][row], abs=1e-4, nan_ok=True)


def test_other_pictures_move_what_the_model_sees_of_them(prepared: Prepared, loaded: LoadedModel) -> None:
    samples = [Sample(f"a{number}", f"a{number}", {"image": picture(number % 10, number)}) for number in range(80)]
    others = [Sample(f"b{number}", f"b{number}", {"image": picture(3, number)}) for number in range(80)]
    found = compare(sketch_embeddings(loaded, samples), sketch_embeddings(loaded, others))
    embedding = next(test for test in found.tests if test.feature == "image.embedding")
    assert embedding.moved
    assert embedding.details["frechet"] > 0
    again = [Sample(f"c{number}", f"c{number}", {"image": picture(number % 10, 1000 + number)}) for number in range(80)]
    assert compare(sketch_embeddings(loaded, samples), sketch_embeddings(loaded, again)).moved == ()


def test_a_member_that_cannot_be_read_has_no_vector(prepared: Prepared, loaded: LoadedModel) -> None:
    found = sketch_embeddings(loaded, [Sample("a", "a", {"image": b"none", "text": b"a seven"})])
    assert np.isnan(found.vectors["image.embedding"]).all()
    assert np.isfinite(found.vectors["text.embedding"]).all()
