"""Encoders of text: word vectors from a file, bags of words, filters; one class for ids and features."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from tasks.errors import InputError
from tasks.models.encoders.steps import positions_TD
from tests.tasks.models.encoders.example import encoder, values

WORDS = ["<pad>", "<unk>", "<bos>", "<eos>", "cat", "Dog", "dog", "zebra"]
GLOVE = "the 0 0 0\ncat 1 2 3\ndog 4.5 5 -6\n. . . 7 8 9\n"


def reader(words: list[str], whole_words: bool = True) -> Any:
    return SimpleNamespace(whole_words=whole_words, spellings=lambda: words)


def filled(tmp_path: Path, content: str | bytes, words: list[str] = WORDS, **given: Any) -> Any:
    path = tmp_path / "vectors.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    built = encoder("word_vectors", "text", weights=str(path), dimension=3, **given)
    built.load_pretrained(reader(words))
    return built


@pytest.mark.parametrize("content", [GLOVE, "4 3\n" + GLOVE], ids=["GloVe", "word2vec"])
def test_the_words_of_the_tokenizer_get_the_vectors_of_the_file(tmp_path: Path, content: str) -> None:
    before = encoder("word_vectors", "text", dimension=3).embed.weight
    after = filled(tmp_path, content).embed.weight
    assert after[4].tolist() == [1, 2, 3]
    assert after[5].tolist() == after[6].tolist() == [4.5, 5, -6], "a word in capitals takes the vector of the word in small letters"
    assert torch.equal(after[7], before[7]), "a word that the file lacks keeps its random vector"


def test_a_word_in_capitals_keeps_its_own_vector_when_the_file_has_it(tmp_path: Path) -> None:
    for content in ("dog 1 1 1\nDog 2 2 2\n", "Dog 2 2 2\ndog 1 1 1\n"):
        weight = filled(tmp_path, content).embed.weight
        assert (weight[5].tolist(), weight[6].tolist()) == ([2, 2, 2], [1, 1, 1])


def test_vectors_stay_unless_they_are_tuned(tmp_path: Path) -> None:
    assert not filled(tmp_path, GLOVE).embed.weight.requires_grad
    assert filled(tmp_path, GLOVE, tune=True).embed.weight.requires_grad


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("cat 1 2\n", "line 1 has 2 numbers, but `dimension` is 3"),
        ("cat 1 2 x\n", "line 1: could not convert"),
        ("cat 1 2 nan\n", "line 1: nan"),
        ("cat 1 2 1e300\n", r"line 1: 1e\+300 is no number to learn from"),
        ("cat 1 2 3 4\n", "have 4 numbers, but `dimension` is 3; set `dimension: 4`"),
        ("1 4\ncat 1 2 3 4\n", "have 4 numbers, but `dimension` is 3; set `dimension: 4`"),
        ("chat\nchien\n", "has no numbers behind its words; give the text form, a word and its numbers a line"),
        (b"\xff\xfe\x00 1 2 3\n", "is not text"),
        ("chat 1 2 3\n", "none of the tokenizer's 8 words is in"),
        ("", "none of the tokenizer's 8 words is in"),
    ],
)
def test_a_file_of_other_vectors_is_refused(tmp_path: Path, content: str | bytes, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        filled(tmp_path, content)


def test_a_missing_file_and_a_tokenizer_of_pieces_are_told(tmp_path: Path) -> None:
    built = encoder("word_vectors", "text", weights=str(tmp_path / "none.txt"), dimension=3)
    with pytest.raises(InputError, match=r"there is no file .*none\.txt"):
        built.load_pretrained(reader(WORDS))
    (tmp_path / "none.txt").mkdir()
    with pytest.raises(InputError, match=r"none\.txt cannot be read \(Is a directory\); give a file, a word and its numbers a line"):
        built.load_pretrained(reader(WORDS))
    with pytest.raises(InputError, match="needs tokens that are words"):
        built.load_pretrained(reader(WORDS, whole_words=False))


def test_a_bag_of_words_equals_torchs() -> None:
    built, given = encoder("embedding_bag", "text"), values("text")
    assert given.lengths is not None
    flat = torch.cat([row[:length] for row, length in zip(given.values, given.lengths, strict=True)])
    starts = torch.cumsum(given.lengths, 0) - given.lengths
    expected = built.norm(F.embedding_bag(flat, built.embed.weight, starts, mode="mean"))
    torch.testing.assert_close(built(given.values, given.lengths).values_BTD[:, 0], expected)


def test_filters_over_words_give_one_token_or_one_a_word() -> None:
    given = values("text")
    assert encoder("text_cnn", "text")(given.values, given.lengths).mask_BT.shape == (4, 1)
    each = encoder("text_cnn", "text", pool=False)(given.values, given.lengths)
    assert given.lengths is not None
    assert each.mask_BT.sum(1).tolist() == given.lengths.tolist()
    with pytest.raises(ValueError, match=r"widths are odd, so that each has a middle; given \[4\]"):
        encoder("text_cnn", "text", widths=[3, 4])


def test_the_order_of_words_matters_to_all_but_the_bag() -> None:
    ids, turned = torch.tensor([[5, 6, 7]]), torch.tensor([[7, 6, 5]])
    for kind in ("gru", "lstm", "transformer", "text_cnn"):
        built = encoder(kind, "text")
        assert not torch.allclose(built(ids).values_BTD.mean(1), built(turned).values_BTD.mean(1)), kind
    bag = encoder("embedding_bag", "text")
    torch.testing.assert_close(bag(ids).values_BTD, bag(turned).values_BTD)


def test_positions_are_the_papers() -> None:
    found = positions_TD(torch.zeros(1, 7, 6))
    for place in range(7):
        for pair in range(3):
            angle = torch.tensor(place / 10_000 ** (2 * pair / 6))
            torch.testing.assert_close(found[place, 2 * pair : 2 * pair + 2], torch.stack([angle.sin(), angle.cos()]))
    assert positions_TD(torch.zeros(1, 2, 5)).shape == (2, 5)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    for kind, medium in (("transformer", "text"), ("conformer", "audio"), ("video_transformer", "video")):
        with pytest.raises(InputError, match=rf"'{kind}': the model's width \(16\) is not a multiple of `num_heads` \(3\)"):
            encoder(kind, medium, num_heads=3)
