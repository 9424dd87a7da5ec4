"""Token ids to tokens by word vectors from a file. Must not import ray or mlflow.

Shape suffixes: B samples, T words, V words of the vocabulary, D width.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Reader
from tasks.errors import InputError
from tasks.models.encoders.config_sequence import WordVectorsConfig
from tasks.models.tokens import Tokens, need, valid_BT

LARGEST = torch.finfo(torch.float32).max
SPREAD = 0.1
"""Deviation of the vector of a word that the file lacks; those of GloVe and word2vec have 0.1 to 0.6."""


class WordVectors(nn.Module):
    """The file's vector of each word, projected. A word that the file lacks has a random one."""

    def __init__(self, config: WordVectorsConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        (vocab_size,) = need(shape, ("vocab_size",), config.kind)
        self.config = config
        self.embed = nn.Embedding(vocab_size, config.dimension)
        nn.init.normal_(self.embed.weight, std=SPREAD)
        self.embed.weight.requires_grad_(config.tune)
        self.project = nn.Linear(config.dimension, width)
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(config.dropout)

    def load_pretrained(self, reader: Reader) -> None:
        """Fill the vectors of the words that the file and the reader's tokenizer have in common.

        Raises InputError when the file can't be read, has another dimension, or has none of the words.
        """
        words_of = cast(Any, reader)
        if not words_of.whole_words:
            raise InputError(
                "encoder 'word_vectors' needs tokens that are words; set `fit: {text: {tokenizer: word}}` in the shard step, "
                "or choose another encoder of text"
            )
        words = {word: place for place, word in enumerate(words_of.spellings())}
        found = read_vectors(Path(self.config.weights), words, self.config.dimension)
        if not found:
            raise InputError(
                f"encoder 'word_vectors': none of the tokenizer's {len(words)} words is in {self.config.weights}; give one of this language"
            )
        with torch.no_grad():
            for place, vector in found.items():
                self.embed.weight[place] = torch.tensor(vector)

    def forward(self, ids_BT: Tensor, lengths_B: Tensor | None = None) -> Tokens:
        return Tokens(self.norm(self.project(self.dropout(self.embed(ids_BT)))), valid_BT(lengths_B, ids_BT))


def read_vectors(path: Path, words: Mapping[str, int], dimension: int) -> dict[int, list[float]]:
    """Word's number → its vector; only those of `words` are kept, so that a large file takes little memory.

    A word that the file has in small letters alone takes that vector. Raises InputError when the file is none of vectors, or of another
    dimension.
    """
    small: dict[str, list[int]] = {}
    for word, place in words.items():
        small.setdefault(word.lower(), []).append(place)
    found: dict[int, list[float]] = {}
    exact: set[int] = set()
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                word, *numbers = line.rstrip("\n ").rsplit(" ", dimension)
                if number == 1 and len(line.split()) == 2:
                    continue  # word2vec's counts
                if word not in words and word not in small:
                    continue
                vector = _floats(numbers, dimension, f"{path}, line {number}")
                if word in words:
                    found[words[word]] = vector
                    exact.add(words[word])
                found.update({place: vector for place in small.get(word, ()) if place not in exact})
    except FileNotFoundError as error:
        raise InputError(f"encoder 'word_vectors': there is no file {path}; `weights` is relative to the recipe") from error
    except OSError as error:
        raise InputError(
            f"encoder 'word_vectors': {path} cannot be read ({error.strerror}); give a file, a word and its numbers a line"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"encoder 'word_vectors': {path} is not text (byte {error.start} of a line); give the text form, a word and its numbers a line"
        ) from error
    if not found:
        _check_dimension(path, dimension)
    return found


def _check_dimension(path: Path, dimension: int) -> None:
    """Raises InputError when the second line, behind word2vec's counts, or the only one has another count of numbers."""
    with path.open(encoding="utf-8") as lines:
        counts = [_count(line) for line in itertools.islice(lines, 2)]
    if counts and counts[-1] != dimension:
        size = counts[-1]
        raise InputError(
            f"encoder 'word_vectors': the vectors of {path} have {size} numbers, but `dimension` is {dimension}; set `dimension: {size}`"
            if size
            else f"encoder 'word_vectors': {path} has no numbers behind its words; give the text form, a word and its numbers a line"
        )


def _count(line: str) -> int:
    """How many numbers a line ends with; its first part is the word, whatever it is."""
    count = 0
    for part in reversed(line.split()[1:]):
        try:
            float(part)
        except ValueError:
            break
        count += 1
    return count


def _floats(numbers: list[str], dimension: int, where: str) -> list[float]:
    try:
        vector = [float(number) for number in numbers]
    except ValueError as error:
        raise InputError(
            f"encoder 'word_vectors': {where}: {error}; a word is followed by numbers, `dimension` ({dimension}) of them"
        ) from error
    if len(vector) != dimension:
        raise InputError(
            f"encoder 'word_vectors': {where} has {len(vector)} numbers, but `dimension` is {dimension}; set it to what the file has"
        )
    if bad := [number for number in vector if not abs(number) <= LARGEST]:
        raise InputError(f"encoder 'word_vectors': {where}: {bad[0]} is no number to learn from; mend the file or take the line out")
    return vector
