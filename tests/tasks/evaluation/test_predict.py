from __future__ import annotations

import numpy as np
import pytest
import torch

from tasks.errors import Stopped
from tasks.evaluation.predict import predict_split
from tasks.evaluation.subsets import all_subsets, mask_present
from tasks.models.load import LoadedModel, load_model
from tasks.shards.loader import Loader
from tests.tasks.evaluation.artifacts import Prepared

SUBSETS = all_subsets(["audio", "image", "text"])


def ignore(done: int) -> None:
    """Not interested in progress."""


@pytest.fixture(scope="module")
def loaded(prepared: Prepared) -> LoadedModel:
    return load_model(prepared.model.path)


def loader(prepared: Prepared, loaded: LoadedModel, batch_size: int = 16, drop: str = "") -> Loader:
    readers = {name: reader for name, reader in loaded.readers.items() if name != drop}
    return Loader(prepared.shard_set, "test", readers, {}, batch_size=batch_size)


def test_every_subset_equals_a_plain_forward_pass_with_the_rest_masked(prepared: Prepared, loaded: LoadedModel) -> None:
    predictions = predict_split(loaded, loader(prepared, loaded).evaluation(), ignore, SUBSETS)
    for subset in SUBSETS:
        digits, heights, probabilities = [], [], []
        for batch in loader(prepared, loaded).evaluation():
            with torch.inference_mode():
                masked = mask_present(batch.present, batch.modalities, subset)
                outputs = loaded.model.predict(loaded.model(batch.inputs, masked))
            real = batch.weight > 0
            probabilities.append(outputs["digit"][real])
            digits.append(outputs["digit"][real].argmax(1))
            heights.append(outputs["height"][real].reshape(-1))
        np.testing.assert_array_equal(predictions.heads["digit"].by_subset[subset], torch.cat(digits).numpy())
        np.testing.assert_allclose(predictions.heads["height"].by_subset[subset], torch.cat(heights).numpy(), rtol=1e-5)
    np.testing.assert_allclose(predictions.heads["digit"].probability, torch.cat(probabilities).numpy(), atol=1e-6)


def test_rows_are_those_of_the_index_without_padding(prepared: Prepared, loaded: LoadedModel) -> None:
    told: list[int] = []
    predictions = predict_split(loaded, loader(prepared, loaded).evaluation(), told.append, SUBSETS)
    assert predictions.keys == prepared.shard_set.keys("test")
    assert told == [16, 32, 46]
    present = prepared.shard_set.present("test")
    np.testing.assert_array_equal(predictions.present, np.stack([present[name] for name in predictions.modalities], axis=1))
    assert 0 < predictions.covered("audio").sum() < 46
    assert predictions.covered("audio+image").all()


def test_the_batch_size_changes_nothing(prepared: Prepared, loaded: LoadedModel) -> None:
    small, large = (predict_split(loaded, loader(prepared, loaded, size).evaluation(), ignore, SUBSETS) for size in (5, 64))
    np.testing.assert_allclose(small.heads["digit"].probability, large.heads["digit"].probability, atol=1e-5)


def test_probabilities_are_those_of_the_full_set_and_add_up(prepared: Prepared, loaded: LoadedModel) -> None:
    head = predict_split(loaded, loader(prepared, loaded).evaluation(), ignore, SUBSETS).heads["digit"]
    assert head.classes == tuple("0123456789")
    assert head.probability is not None
    np.testing.assert_allclose(head.probability.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(head.probability.argmax(axis=1), head.by_subset[SUBSETS[-1]])


def test_a_modality_that_the_batches_lack_counts_as_missing(prepared: Prepared, loaded: LoadedModel) -> None:
    everything = predict_split(loaded, loader(prepared, loaded).evaluation(), ignore, SUBSETS)
    lacking = predict_split(loaded, loader(prepared, loaded, drop="audio").evaluation(), ignore, all_subsets(["image", "text"]))
    assert lacking.modalities == ("image", "text")
    np.testing.assert_allclose(
        lacking.heads["height"].by_subset["image+text"], everything.heads["height"].by_subset["image+text"], rtol=1e-5
    )


def test_an_error_in_the_callback_stops_the_run(prepared: Prepared, loaded: LoadedModel) -> None:
    def stop(done: int) -> None:
        raise Stopped(f"at {done}")

    with pytest.raises(Stopped, match="at 16"):
        predict_split(loaded, loader(prepared, loaded).evaluation(), stop, SUBSETS)
