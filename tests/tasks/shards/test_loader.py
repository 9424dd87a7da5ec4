"""Batches: the same for every number of threads, ranks and restarts; errors come out, threads end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tasks.contracts import Batch, ModalityBatch
from tasks.errors import BadMember, InputError, TaskError
from tasks.modalities import MODALITIES
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet
from tasks.training.run import build_augmenters


class Length:
    """A reader that keeps the number of bytes."""

    shape = {"channels": 1}  # noqa: RUF012

    def __init__(self, wrong: bytes = b"") -> None:
        self.wrong = wrong

    def read(self, data: bytes) -> int:
        if self.wrong and self.wrong in data:
            raise BadMember("text/odd", "it is odd")
        return len(data)

    def collate(self, values: Iterable[Any | None]) -> ModalityBatch:
        return ModalityBatch(torch.tensor([0.0 if value is None else float(value) for value in values])[:, None])


LABELS = {"digit": {"kind": "category", "classes": [str(digit) for digit in range(9)]}, "age": {"kind": "number"}}


def loader(path: Path, split: str = "train", **settings: Any) -> Loader:
    readers = settings.pop("readers", {"text": Length(), "image": Length()})
    return Loader(ShardSet.open(path), split, readers, LABELS, **{"batch_size": 8, "streams": 4, "seed": 1} | settings)


def keys(batches: Iterable[Batch]) -> list[list[str]]:
    return [batch.keys for batch in batches]


def threads_alive() -> int:
    return sum(thread.name.startswith("loader") for thread in threading.enumerate())


def test_a_batch_is_what_the_contract_says(made: Path) -> None:
    batch = next(iter(loader(made).epoch(0)))
    numbers = [int(key[1:]) for key in batch.keys]
    assert batch.modalities == ("image", "text")
    assert batch.present.dtype == torch.bool
    assert batch.present.tolist() == [[number % 3 == 0, True] for number in numbers]
    assert batch.inputs["text"].values.shape == (8, 1)
    assert (batch.inputs["image"].values[:, 0] > 0).tolist() == batch.present[:, 0].tolist()
    missing = [number % 7 == 0 or number % 10 == 9 for number in numbers]
    assert batch.labels["digit"].tolist() == [-1 if gone else number % 10 for number, gone in zip(numbers, missing, strict=True)]
    assert batch.labels["digit"].dtype == torch.int64
    assert batch.labels["age"].dtype == torch.float64
    assert batch.labels["age"].isnan().all()
    assert batch.weight.tolist() == [1.0] * 8


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_do_not_change_the_batches(made: Path, threads: int) -> None:
    assert keys(loader(made, threads=threads).epoch(3)) == keys(loader(made, threads=2).epoch(3))


def test_ranks_together_have_the_batches_of_one(made: Path) -> None:
    alone = keys(loader(made).epoch(0))
    ranks = [keys(loader(made, rank=rank, world_size=2).epoch(0)) for rank in range(2)]
    assert [one + other for one, other in zip(*ranks, strict=True)] == alone
    assert len(alone) == loader(made).steps_per_epoch == 90 // 8


def test_resuming_gives_the_rest_of_the_epoch(made: Path) -> None:
    assert keys(loader(made).epoch(2, start_step=4)) == keys(loader(made).epoch(2))[4:]


def test_evaluation_has_every_sample_once_in_order_and_pads_with_weight_zero(made: Path) -> None:
    for world in (1, 2):
        ranks = [list(loader(made, "val", batch_size=4, rank=rank, world_size=world).evaluation()) for rank in range(world)]
        seen = []
        for parts in zip(*ranks, strict=True):
            for batch in parts:
                assert len(batch.keys) == 4 // world
                seen += [key for key, weight in zip(batch.keys, batch.weight.tolist(), strict=True) if weight]
        assert seen == ShardSet.open(made).keys("val")


def test_closing_early_ends_the_threads(made: Path) -> None:
    batches = loader(made).epoch(0)
    next(batches)
    assert threads_alive()
    batches.close()  # type: ignore[attr-defined]
    assert not threads_alive()


def test_errors_of_readers_name_the_sample_and_end_the_threads(made: Path) -> None:
    with pytest.raises(TaskError, match=r"the text of sample 't00042' is in the shards but cannot be read: text/odd: it is odd"):
        list(loader(made, readers={"text": Length(b"number 42")}, batch_size=2, streams=2).epoch(0))
    assert not threads_alive()


def test_an_input_that_is_no_number_names_sample_and_modality_before_a_model_sees_it(made: Path) -> None:
    class Spoiled(Length):
        def read(self, data: bytes) -> Any:
            return {b"number 42": float("nan"), b"number 43": float("-inf")}.get(data[-9:], 3e38)

    with pytest.raises(TaskError, match=r"the text of sample 't0004[23]' has numbers that are NaN or infinite once it is read"):
        list(loader(made, readers={"text": Spoiled()}, batch_size=2, streams=2).epoch(0))
    with pytest.raises(TaskError, match=r"the text of sample 't0004[23]' \(and of 1 more samples of the batch\) has numbers"):
        list(loader(made, readers={"text": Spoiled()}, batch_size=90, streams=2).epoch(0))
    assert not threads_alive()
    assert len(list(loader(made, "val", readers={"text": Spoiled()}, batch_size=8).evaluation())) == 2, "sums that overflow are no error"


def test_batches_are_made_ahead_but_not_without_limit(made: Path) -> None:
    reads: list[int] = []

    class Counting(Length):
        def read(self, data: bytes) -> int:
            reads.append(1)
            return 1

    batches = loader(made, readers={"text": Counting()}, threads=2).epoch(0)
    next(batches)
    time.sleep(0.2)
    assert 16 <= len(reads) <= 4 * 8
    batches.close()  # type: ignore[attr-defined]


def test_what_cannot_work_is_refused(made: Path) -> None:
    with pytest.raises(InputError, match="the shards have image, text, not audio"):
        loader(made, readers={"audio": Length()})
    with pytest.raises(InputError, match="has 10 samples, fewer than one batch of 64"):
        loader(made, "val", batch_size=64).epoch(0)
    with pytest.raises(InputError, match="streams must divide batch_size"):
        loader(made, batch_size=9)


def test_weights_are_exact_under_padding(made: Path) -> None:
    weights = np.concatenate([batch.weight.numpy() for batch in loader(made, "test", batch_size=4).evaluation()])
    assert weights.tolist() == [1.0] * 10 + [0.0] * 2


# ---- varied in training -----------------------------------------------------------------------------------------------


def varying(path: Path, split: str = "train", **settings: Any) -> Loader:
    """Pictures are varied, texts are not."""
    entry, shard_set = MODALITIES["image"], ShardSet.open(path)
    assert entry.augment is not None
    image = entry.load().reader(entry.read.model_validate({"size": [6, 6]}), shard_set.fit("image"))
    change = {"crop": [0.3, 1], "flip": 0.5, "brightness": 0.4, "erase": 0.5}
    augmenters = build_augmenters({"image": entry.augment.config.model_validate(change)}, {"image": image})
    return loader(path, split, readers={"text": Length(), "image": image}, **{"augmenters": augmenters} | settings)


def values(batches: Iterable[Batch]) -> torch.Tensor:
    return torch.stack([batch.inputs["image"].values for batch in batches])


@pytest.mark.parametrize("settings", [{"threads": 1}, {"threads": 5}])
def test_threads_do_not_change_how_samples_are_varied(made: Path, settings: dict[str, Any]) -> None:
    assert torch.equal(values(varying(made, **settings).epoch(1)), values(varying(made).epoch(1)))


def test_ranks_together_vary_samples_as_one_does(made: Path) -> None:
    ranks = [values(varying(made, rank=rank, world_size=2).epoch(1)) for rank in range(2)]
    assert torch.equal(torch.cat(ranks, dim=1), values(varying(made).epoch(1)))


def test_a_resume_varies_the_rest_of_the_epoch_as_if_nothing_had_happened(made: Path) -> None:
    assert torch.equal(values(varying(made).epoch(2, start_step=4)), values(varying(made).epoch(2))[4:])


def test_samples_are_varied_anew_in_each_epoch_and_by_each_seed(made: Path) -> None:
    def of_sample(seed: int, epoch: int) -> torch.Tensor:
        for batch in varying(made, seed=seed).epoch(epoch):
            if "t00030" in batch.keys:
                return batch.inputs["image"].values[batch.keys.index("t00030")]
        raise AssertionError("not in this epoch")

    seen = [of_sample(1, epoch) for epoch in range(3)] + [of_sample(2, 0)]
    assert all(not torch.equal(one, other) for place, one in enumerate(seen) for other in seen[:place])


def test_a_second_view_is_varied_otherwise_and_as_pure_as_the_first(made: Path) -> None:
    def second(batches: Iterable[Batch]) -> torch.Tensor:
        return torch.stack([batch.views["strong"]["image"].values for batch in batches])

    views = {"strong": varying(made)._augmenters}
    first = list(varying(made, views=views).epoch(1))
    assert torch.equal(values(first), values(varying(made).epoch(1))), "it changes nothing of what was there"
    assert first[0].views.keys() == {"strong"}
    assert first[0].views["strong"].keys() == {"image"}, "text is not varied, so it is not read again"
    there = torch.stack([batch.present[:, 0] for batch in first])
    assert not (second(first) - values(first)).abs().amax(dim=(2, 3, 4))[there].eq(0).any()
    assert torch.equal(second(varying(made, views=views, threads=5).epoch(1)), second(first))
    assert torch.equal(second(varying(made, views=views).epoch(1, start_step=4)), second(first)[4:])
    ranks = [second(varying(made, views=views, rank=rank, world_size=2).epoch(1)) for rank in range(2)]
    assert torch.equal(torch.cat(ranks, dim=1), second(first))
    assert not next(iter(varying(made, "val", batch_size=4, views=views).evaluation())).views


def test_evaluation_never_varies(made: Path) -> None:
    with_augmenters = varying(made, "val", batch_size=4)
    plain = loader(made, "val", batch_size=4, readers=with_augmenters._readers)
    assert torch.equal(values(with_augmenters.evaluation()), values(plain.evaluation()))


def test_a_damaged_member_is_named_by_its_sample_when_it_is_varied_too(made: Path) -> None:
    class Odd:
        def read(self, data: bytes, seed: int) -> int:
            raise BadMember("text/odd", "it is odd")

    with pytest.raises(TaskError, match=r"the text of sample 't\d+' is in the shards but cannot be read: text/odd"):
        list(loader(made, augmenters={"text": Odd()}).epoch(0))
