"""Records as users have them are prepared and read as in training, and predicted."""

from __future__ import annotations

import pytest

from tasks.errors import InputError
from tasks.models.load import LoadedModel, load_model
from tasks.models.predict import predict_records
from tests.tasks.tracking.toys import picture, trained_model


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(trained_model(tmp_path_factory.mktemp("models") / "model").path)


def test_each_head_gives_its_classes_with_probabilities_or_its_numbers(loaded: LoadedModel) -> None:
    said = predict_records(loaded, [{"image": picture(0), "text": b"one"}, {"image": picture(1), "text": b"two"}])
    assert set(said["digit"].values) <= {"one", "two"}
    for value, probabilities in zip(said["digit"].values, said["digit"].probabilities, strict=True):
        assert sum(probabilities) == pytest.approx(1.0)
        assert value == ["one", "two"][probabilities.index(max(probabilities))]
    assert all(isinstance(value, float) for value in said["size"].values)
    assert said["size"].probabilities == []


def test_a_record_is_predicted_the_same_alone_and_among_others(loaded: LoadedModel) -> None:
    records = [{"image": picture(seed), "text": b"a longer text" if seed else None} for seed in range(3)]
    together = predict_records(loaded, records)["size"].values
    assert together == pytest.approx([predict_records(loaded, [record])["size"].values[0] for record in records], abs=1e-5)


def test_a_modality_that_is_absent_may_be_none_or_left_out(loaded: LoadedModel) -> None:
    assert predict_records(loaded, [{"image": picture(0), "text": None}]) == predict_records(loaded, [{"image": picture(0)}])


def test_the_preparation_of_training_is_applied(loaded: LoadedModel) -> None:
    assert predict_records(loaded, [{"text": b"ONE"}]) == predict_records(loaded, [{"text": b"one"}]), "lower: true"


def test_a_record_without_any_modality_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(InputError, match="record 1 has none of the modalities that the model takes: image, text"):
        predict_records(loaded, [{"text": b"one"}, {"audio": b"x"}])
    with pytest.raises(InputError, match="there is no record to predict; give one or more, each with some of: image, text"):
        predict_records(loaded, [])


def test_a_misspelt_modality_is_named_and_not_left_out(loaded: LoadedModel) -> None:
    with pytest.raises(InputError, match="record 0 has 'txt', which is no modality; did you mean 'text'"):
        predict_records(loaded, [{"image": picture(0), "txt": b"one"}])
    both = {"image": picture(0), "text": b"one"}
    assert predict_records(loaded, [{**both, "audio": b"of another model"}]) == predict_records(loaded, [both])


def test_bytes_that_are_no_picture_are_named_with_their_record(loaded: LoadedModel) -> None:
    with pytest.raises(InputError, match="the image of record 1 cannot be used"):
        predict_records(loaded, [{"image": picture(0)}, {"image": b"no picture"}])
