"""Transcription: the loss against a forward algorithm written here, what cannot be reached, and the ways to decode.

Shape suffixes: B samples, T steps, S tokens of a text, K classes.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from tasks.contracts import Fit
from tasks.errors import InputError
from tasks.modalities.config import TextFit, TextRead
from tasks.modalities.text import Text
from tasks.models.contracts import Sequence
from tasks.models.heads.config_sequences import CtcConfig
from tasks.models.heads.ctc import Ctc, Path
from tests.tasks.models.heading import TEXTS, features, head_of

WEIGHT_B = torch.tensor([1.0, 2.0, 0.5, 1.0])
CLASSES = [[2, 3, 17], [5], [6, 7]]
"""Of the three texts: ids less the two that have no class; begin and end of the third are left out."""


def forward_probability(probability_TK: np.ndarray, text: list[int]) -> float:
    """P(text) by adding up over all alignments, step by step (Graves et al. 2006, section 4.1)."""
    with_blanks = [0, *(each for token in text for each in (token, 0))]
    reached = np.zeros(len(with_blanks))
    reached[0] = 1.0
    before_first = True
    for row in probability_TK:
        then = np.zeros_like(reached)
        for place, token in enumerate(with_blanks):
            if before_first:
                then[place] = float(place in (0, 1)) * row[token]
                continue
            total = reached[place] + (reached[place - 1] if place else 0.0)
            if place > 1 and token != 0 and token != with_blanks[place - 2]:
                total += reached[place - 2]
            then[place] = total * row[token]
        reached, before_first = then, False
    return float(reached[-1] + (reached[-2] if len(reached) > 1 else 0.0))


def test_the_loss_is_the_forward_algorithms() -> None:
    head = head_of("ctc")
    path = head(features())
    assert path.lengths_B.tolist() == [4, 4, 4, 4]
    loss = head.loss(path, TEXTS, WEIGHT_B)
    rows = path.log_BTK.exp().double().detach().numpy()
    expected = [-np.log(forward_probability(rows[place, :4], text)) / len(text) for place, text in enumerate(CLASSES)]
    assert loss.total.item() == pytest.approx(np.dot(expected, WEIGHT_B[:3].numpy()), rel=1e-5)
    assert loss.weight == 3.5


def test_a_text_with_more_tokens_than_steps_costs_nothing_and_is_counted() -> None:
    head = head_of("ctc")
    path = head(features())
    long = Sequence(
        torch.tensor([[4, 5, 6, 7, 8], [4, 4, 5, 6, 0], [4, 5, 4, 5, 0], [0, 0, 0, 0, 0]]), torch.tensor([5, 4, 4, 1]), TEXTS.present_B
    )
    assert head.unreachable_B(path, long).tolist() == [True, True, False, False]  # 4 steps; the twins of the second need a fifth
    alone = Sequence(long.values_BT[2:], long.lengths_B[2:], long.present_B[2:])
    of_two = head.loss(Path(path.log_BTK[2:], path.lengths_B[2:]), alone, torch.ones(2))
    of_all = head.loss(path, long, torch.ones(4))
    torch.testing.assert_close(of_all.total, of_two.total)
    assert of_all.weight == 3
    metrics = head.metrics(path, long, torch.ones(4))
    assert metrics["unreachable"].total / metrics["unreachable"].weight == pytest.approx(2 / 3)
    of_all.total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def test_a_sample_that_lacks_the_modality_says_nothing_and_blames_no_encoder() -> None:
    whole, head = features(), head_of("ctc")
    gap = whole._replace(present_BM=whole.present_BM.clone())
    gap.present_BM[1, whole.modalities.index("audio")] = False
    path, usual = head(gap), head(whole)
    assert path.lengths_B.tolist() == [4, 0, 4, 4]
    assert (head.predict(path)[1] == 0).all()
    for beam_width in (1, 4):
        head.config = CtcConfig(target="text", of="audio", beam_width=beam_width)
        assert (head.predict(path)[1] == 0).all()
    assert head.unreachable_B(path, TEXTS).tolist() == [False] * 4
    without = head.loss(usual, TEXTS, torch.tensor([1.0, 0.0, 1.0, 1.0])).total
    loss = head.loss(path, TEXTS, torch.ones(4))
    torch.testing.assert_close(loss.total, without)
    assert loss.weight == 3
    loss.total.backward()
    assert all(parameter.grad.isfinite().all() for parameter in head.parameters())


def paths_of(*texts: list[int], steps: int = 8) -> Path:
    """Sure of these classes, one after the other."""
    log_BTK = torch.full((len(texts), steps, 18), -20.0)
    for row, text in enumerate(texts):
        for step in range(steps):
            log_BTK[row, step, text[step] if step < len(text) else 0] = 10.0
    return Path(log_BTK.log_softmax(-1), torch.full((len(texts),), steps))


def test_classes_become_the_ids_of_the_tokens() -> None:
    head, path = head_of("ctc"), paths_of([2, 3, 17], [1, 0, 1, 1], [])
    expected = [[4, 5, 19], [1, 1, 0], [0, 0, 0]]
    assert head.predict(path).tolist() == expected
    assert head_of("ctc", beam_width=4).predict(path).tolist() == expected
    assert head.predict(path).dtype == torch.int64
    assert head.predict(paths_of([])).tolist() == [[0]]


def test_token_errors_are_counted_on_the_likeliest_path() -> None:
    head = head_of("ctc")
    edits = head.metrics(paths_of([2, 3], [5], [6, 6, 7, 3], [9]), TEXTS, torch.ones(4))["token_error_rate"]
    assert (edits.total, edits.weight) == (1 + 0 + 1, 3 + 1 + 2)


def fitted(texts: list[str], **language_model: Any) -> Fit:
    config = TextFit(tokenizer="byte", language_model=language_model or None)
    return Text().fit(config, {}, lambda: (text.encode() for text in texts))


def test_a_language_model_decides_between_what_sounds_alike() -> None:
    reader = Text().reader(TextRead(), fitted(["owl", "an owl", "two owls"] * 5, order=3))
    ids = [byte + 4 - 2 for byte in b"oul"]
    log_BTK = torch.full((1, 3, 258), -20.0)
    for step, each in enumerate(ids):
        log_BTK[0, step, each] = 1.0
    log_BTK[0, 1, ord("w") + 2] = 0.9  # the u is a little likelier than the w
    path = Path(log_BTK.log_softmax(-1), torch.tensor([3]))
    label = {"vocab_size": 260}
    said = {}
    for weight in (0.0, 0.5):
        head = Ctc(CtcConfig(target="text", of="audio", beam_width=8, language_model=weight), "said", label, 16)
        head.lend(reader)
        said[weight] = cast(Any, reader).text(head.predict(path)[0])
    assert said == {0.0: "oul", 0.5: "owl"}


def test_a_bonus_for_tokens_makes_transcripts_longer() -> None:
    path = head_of("ctc")(features(3))
    lengths = [int((head_of("ctc", beam_width=16, token_bonus=bonus).predict(path) > 0).sum()) for bonus in (-5.0, 0.0, 5.0)]
    assert lengths[0] < lengths[1] < lengths[2]


def test_a_language_model_that_was_not_learned_is_missed_with_a_way_out() -> None:
    head = head_of("ctc", beam_width=8, language_model=0.5)
    with pytest.raises(InputError, match=r"head 'said' weighs .*give the shard step `fit: \{text: \{language_model: \{\}\}\}`"):
        head.lend(Text().reader(TextRead(), fitted(["owl"])))


@pytest.mark.parametrize("settings", [{"language_model": 0.5}, {"token_bonus": 1.0}])
def test_scores_without_a_search_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="`beam_width` is 1; give 8 or more"):
        CtcConfig(target="text", of="audio", **cast(Any, settings))
