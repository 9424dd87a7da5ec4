"""Modality dropout: pure, fair, and never all."""

from __future__ import annotations

import torch

from tasks.models.dropout import drop_modalities

KEYS = [f"sample-{number}" for number in range(2000)]


def everything(count: int = 3) -> torch.Tensor:
    return torch.ones(len(KEYS), count, dtype=torch.bool)


def test_it_depends_on_seed_epoch_and_key_alone() -> None:
    whole = drop_modalities(everything(), KEYS, seed=1, epoch=2, rate=0.5)
    parts = [drop_modalities(everything()[:1], [key], seed=1, epoch=2, rate=0.5) for key in reversed(KEYS)]
    assert torch.equal(whole, torch.cat(parts).flip(0))
    assert not torch.equal(whole, drop_modalities(everything(), KEYS, seed=2, epoch=2, rate=0.5))
    assert not torch.equal(whole, drop_modalities(everything(), KEYS, seed=1, epoch=3, rate=0.5))


def test_one_present_modality_always_stays_and_none_appears() -> None:
    present_BM = torch.rand(len(KEYS), 3, generator=torch.Generator().manual_seed(0)) < 0.5
    kept_BM = drop_modalities(present_BM, KEYS, seed=0, epoch=0, rate=0.95)
    assert not (kept_BM & ~present_BM).any()
    assert torch.equal(kept_BM.any(1), present_BM.any(1))


def test_each_modality_is_hidden_about_as_often_as_asked() -> None:
    hidden = 1 - drop_modalities(everything(), KEYS, seed=0, epoch=0, rate=0.3).float().mean(0)
    assert ((hidden > 0.24) & (hidden < 0.33)).all(), hidden


def test_without_dropout_nothing_changes() -> None:
    assert torch.equal(drop_modalities(everything(), KEYS, seed=0, epoch=0, rate=0.0), everything())
