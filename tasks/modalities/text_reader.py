"""Stored text to token ids.

In: a member of a shard. Out: int64 T per sample, and per batch int64 BT, padded with 0. B samples, T tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from tasks.contracts import Fit, ModalityBatch
from tasks.errors import BadMember, CorruptArtifact
from tasks.modalities.config import SPECIAL_TOKENS, TextRead
from tasks.modalities.ngrams import Ngrams

PAD, UNK, BOS, EOS = range(len(SPECIAL_TOKENS))
UNKNOWN = "\ufffd"
"""What stands in a text for a word that the tokenizer lacks, and for bytes that are no UTF-8."""


@dataclass
class TextReader:
    """`tasks.contracts.Reader` of text."""

    config: TextRead
    shape: Mapping[str, int]
    definition: str
    """Content of `tokenizer.json`; empty = one token a byte."""
    ngrams: bytes = field(default=b"", repr=False)
    """Content of `ngrams.safetensors`; empty = no language model was learned."""
    _tokenizer: Any = field(init=False, repr=False, compare=False)

    @classmethod
    def build(cls, config: TextRead, fit: Fit) -> TextReader:
        """CorruptArtifact when the fit lacks its tokenizer."""
        shape = {"vocab_size": int(fit.values["vocab_size"]), "max_tokens": config.max_tokens}
        ngrams = fit.files.get("ngrams.safetensors", b"")
        if fit.values["tokenizer"] == "byte":
            return cls(config, shape, "", ngrams)
        if "tokenizer.json" not in fit.files:
            raise CorruptArtifact("the text tokenizer was learned, but its `tokenizer.json` is missing beside the fit")
        return cls(config, shape, fit.files["tokenizer.json"].decode(), ngrams)

    def __post_init__(self) -> None:
        self._tokenizer = _tokenizer(self.definition) if self.definition else None
        if self._tokenizer is not None:
            self._tokenizer.encode_special_tokens = True  # a text that says "<pad>" says these five characters

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "shape": self.shape, "definition": self.definition, "ngrams": self.ngrams}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()

    def read(self, data: bytes) -> npt.NDArray[np.int64]:
        """int64 T, 1 to `max_tokens`. BadMember when the bytes are not UTF-8."""
        ids = [BOS] * self.config.bos + self._ids(data)[: self._room] + [EOS] * self.config.eos
        return np.asarray(ids[: self.config.max_tokens] or [UNK], dtype=np.int64)

    @property
    def whole_words(self) -> bool:
        """Whether a token is a word, as the tokenizer `word` has it."""
        return self._tokenizer is not None and type(self._tokenizer.model).__name__ == "WordLevel"

    def spellings(self) -> list[str]:
        """What each token id stands for, by id, as text; a special token by its name."""
        if self._tokenizer is None:
            return [*SPECIAL_TOKENS, *(bytes([byte]).decode("latin-1") for byte in range(256))]
        special = set(SPECIAL_TOKENS)
        names = [self._tokenizer.id_to_token(place) or "" for place in range(self._tokenizer.get_vocab_size())]
        if self.whole_words:
            return names
        return [name if name in special else self._tokenizer.decode([place]) for place, name in enumerate(names)]

    def language_model(self) -> Ngrams | None:
        """What was learned of the order of tokens, if it was asked for. Raises CorruptArtifact."""
        return Ngrams.read(self.ngrams, self.shape["vocab_size"]) if self.ngrams else None

    def text(self, ids: Iterable[int]) -> str:
        """The text that token ids stand for, of any ids, also such as a model makes up; special tokens say nothing.

        Words of the tokenizer `word` have a space between them, and `UNKNOWN` stands for each that is none of its own.
        """
        said = [int(each) for each in ids]
        if self.whole_words:
            return " ".join(
                UNKNOWN if place == UNK else self._tokenizer.id_to_token(place) for place in said if place not in (PAD, BOS, EOS)
            )
        said = [place for place in said if place >= len(SPECIAL_TOKENS)]
        if self._tokenizer is not None:
            return str(self._tokenizer.decode(said))
        return bytes(place - len(SPECIAL_TOKENS) for place in said).decode(errors="replace")

    def spelled(self, data: bytes) -> str:
        """A stored text as far as it is read, as `text` would say it without a mistake; words that the tokenizer lacks are there too."""
        if not self.whole_words:
            return self.text(self._ids(data)[: self._room])
        return self.respelled(_decoded(data), self._room)

    def respelled(self, text: str, words: int | None = None) -> str:
        """Any text as `text` spells: with the tokenizer `word`, a space between all words. `words`: of them the first."""
        if not self.whole_words:
            return text
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets[:words]
        return " ".join(text[start:end] for start, end in offsets)

    @property
    def _room(self) -> int:
        """Tokens of a text beside the marks of its begin and end."""
        return max(self.config.max_tokens - self.config.bos - self.config.eos, 0)

    def _ids(self, data: bytes) -> list[int]:
        if self._tokenizer is None:
            return [byte + len(SPECIAL_TOKENS) for byte in data[: self.config.max_tokens]]
        return list(self._tokenizer.encode(_decoded(data), add_special_tokens=False).ids)

    def collate(self, values: Iterable[npt.NDArray[np.int64] | None]) -> ModalityBatch:
        """int64 BT padded with 0, and lengths; a sample without text is one padding token."""
        samples = list(values)
        lengths = [1 if sample is None else len(sample) for sample in samples]
        ids_BT = np.full((len(samples), max(lengths, default=1)), PAD, dtype=np.int64)
        for row, sample in enumerate(samples):
            if sample is not None:
                ids_BT[row, : len(sample)] = sample
        return ModalityBatch(torch.from_numpy(ids_BT), torch.tensor(lengths, dtype=torch.int64))


def _decoded(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadMember("text/not_utf8", f"the stored text is not UTF-8 at offset {error.start}") from error


def _tokenizer(definition: str) -> Tokenizer:
    try:
        return Tokenizer.from_str(definition)
    except Exception as error:
        raise CorruptArtifact(f"tokenizer.json cannot be read ({error}); restore the file, or run the step that made it anew") from error
