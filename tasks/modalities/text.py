"""Text: decoded strictly, repaired, normalised, stored as UTF-8.

In: source bytes. Out: UTF-8 bytes and exact integer statistics; from the training split a tokenizer. Must not import torch: that is
`text_reader`.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ftfy

from tasks.contracts import Encoded, Fit, Reader
from tasks.errors import BadMember, FilteredOut
from tasks.modalities.config import SPECIAL_TOKENS, TextFit, TextPrepare, TextRead
from tasks.modalities.ngrams import learn
from tasks.modalities.stop_words import without_stop_words

REPAIR = ftfy.TextFixerConfig(normalization=None, uncurl_quotes=False, explain=False)
APOSTROPHES = frozenset("'’ʼ＇")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
BYTE_ORDER_MARKS = (
    (BYTE_ORDER_MARK, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""UTF-32 first: its little-endian mark begins with that of UTF-16."""


TOKENIZER, NGRAMS = "tokenizer.json", "ngrams.safetensors"
"""What is learned from the training split, beside the numbers."""

LONG_RUN = re.compile(r"\w{1000}|[^\w\s]{1000}|\s{1000}")
"""What learning takes apart: its time grows with the square of the longest word, so that a text of 900 kB without a gap took minutes."""

PROBES = (
    "A handwritten seven.",
    "sâ€™il vous plaÃ®t &amp; merci\r\n",
    "Cafe\u0301, ﬁne; ＡＢＣ １２３ … “quoted” isn’t",
    "\ufeffgrüße — 日本語のテキスト، مرحبا 🎉",
    "tabs\tand  spaces\x07\x00 end",
    "ΣΊΣΥΦΟΣ İstanbul ẞ",
)


class Text:
    """`tasks.contracts.Modality` of text."""

    def encode(self, data: bytes, prepare: TextPrepare) -> Encoded:
        """Reasons: `text/empty|too_large|not_utf8|encoding`, and the filters `text/stop_words|min_chars`."""
        if len(data) > prepare.max_bytes:
            raise BadMember("text/too_large", f"{len(data)} bytes; `max_bytes` of its `prepare` allows {prepare.max_bytes}")
        text = clean(_decode(data, prepare.encoding), prepare)
        if not text and prepare.stop_words and clean(_decode(data, prepare.encoding), prepare.model_copy(update={"stop_words": ()})):
            raise FilteredOut("text/stop_words", f"it is made of stop words alone ({', '.join(prepare.stop_words)})")
        if not text:
            raise BadMember("text/empty", f"nothing is left of {len(data)} bytes after cleaning" if data else "the file has no bytes")
        if len(text) < prepare.min_chars:
            raise FilteredOut("text/min_chars", f"{len(text)} characters; {prepare.min_chars} are asked for")
        encoded = text.encode()
        return Encoded("txt", encoded, _statistics(text, len(encoded)))

    def probes(self) -> Iterator[bytes]:
        """Damaged, composed, full-width, right-to-left and badly spaced texts."""
        for text in PROBES:
            yield text.encode()

    def fit(self, config: TextFit, stats: Mapping[str, Any], members: Callable[[], Iterator[bytes]]) -> Fit:
        """`tokenizer.json`, the numbers of its special tokens, and `ngrams.safetensors` if asked for.

        The same members in the same order give the same bytes.
        """
        values: dict[str, Any] = {"tokenizer": config.tokenizer, **{name.strip("<>"): number for number, name in enumerate(SPECIAL_TOKENS)}}
        values["count"] = stats.get("count", 0)
        files, values["vocab_size"] = ({}, 256 + len(SPECIAL_TOKENS)) if config.tokenizer == "byte" else _learn(config, members())
        if config.language_model is not None:
            ids = _encoder(files.get(TOKENIZER))
            texts = _until(members(), config.language_model.max_bytes)
            files[NGRAMS] = learn((ids(text) for text in texts), config.language_model.order)
        return Fit(values, files)

    def reader(self, config: TextRead, fit: Fit) -> Reader:
        from tasks.modalities.text_reader import TextReader

        return TextReader.build(config, fit)


def clean(text: str, prepare: TextPrepare) -> str:
    """What `prepare` makes of a text: also what serving does with a request, so that both agree."""
    if prepare.repair:
        text = ftfy.fix_text(text, REPAIR)
    if prepare.normalise != "none":
        text = unicodedata.normalize(prepare.normalise, text)
    if prepare.lower:
        text = text.lower()
    if prepare.stop_words:
        text = without_stop_words(text, prepare.stop_words)
    if prepare.punctuation == "remove":
        text = "".join(_without_punctuation(character) for character in text)
    if prepare.collapse_whitespace:
        text = " ".join(text.split())
    return text


def _decode(data: bytes, encoding: str) -> str:
    skipped = len(BYTE_ORDER_MARK) if encoding == "utf-8" and data.startswith(BYTE_ORDER_MARK) else 0
    try:
        return data[skipped:].decode(encoding)
    except UnicodeDecodeError as error:
        bad = error.object[error.start : error.start + 1]
        detail = (
            f"byte 0x{bad.hex()} at offset {error.start + skipped} is not {encoding} ({error.reason}), which was tried; {_advice(data)}"
        )
        raise BadMember("text/not_utf8" if encoding == "utf-8" else "text/encoding", detail) from error
    except UnicodeError as error:  # some encodings raise nothing more precise
        raise BadMember("text/encoding", f"{encoding} was tried: {error}; {_advice(data)}") from error


def _advice(data: bytes) -> str:
    """What to write into the recipe: the encoding that a byte-order mark names, or the usual ones."""
    named = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), None)
    if named:
        return f"it begins like {named}: set `encoding: {named}` under `text` of `prepare`, or convert the file to UTF-8"
    return "set `encoding:` under `text` of `prepare` to what the file is in (cp1252, shift_jis, koi8-r, ...), or convert it to UTF-8"


def _without_punctuation(character: str) -> str:
    if character in APOSTROPHES:
        return ""
    return " " if unicodedata.category(character).startswith("P") else character


def _statistics(text: str, num_bytes: int) -> dict[str, int]:
    words = len(re.findall(r"\S+", text))
    return {
        "bytes": num_bytes,
        "chars": len(text),
        "count": 1,
        "max_chars": len(text),
        "max_words": words,
        "min_chars": len(text),
        "min_words": words,
        "words": words,
    }


def _learn(config: TextFit, members: Iterator[bytes]) -> tuple[dict[str, bytes], int]:
    """`tokenizer.json` and its number of tokens."""
    tokenizer, trainer = _words(config) if config.tokenizer == "word" else _pairs(config)
    tokenizer.train_from_iterator(_first_bytes(members, config.max_bytes), trainer=trainer)
    return {TOKENIZER: tokenizer.to_str(pretty=False).encode()}, int(tokenizer.get_vocab_size())


def _encoder(definition: bytes | None) -> Callable[[bytes], list[int]]:
    """Stored text to token ids, as the reader has them before it cuts; without a definition a token is a byte."""
    if definition is None:
        return lambda data: [byte + len(SPECIAL_TOKENS) for byte in data]
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(definition.decode())
    tokenizer.encode_special_tokens = True
    return lambda data: list(tokenizer.encode(data.decode(), add_special_tokens=False).ids)


def _pairs(config: TextFit) -> tuple[Any, Any]:
    """Byte-level BPE (Sennrich et al. 2016; bytes as in GPT-2): any text has tokens, and none is unknown."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL_TOKENS[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    return tokenizer, trainer


def _words(config: TextFit) -> tuple[Any, Any]:
    """A token a word: letters, marks, digits and `_` by Unicode's tables, or a run of other characters. By frequency, then spelling."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL_TOKENS[1]))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(
        vocab_size=config.vocab_size,
        min_frequency=config.min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    return tokenizer, trainer


def _first_bytes(members: Iterator[bytes], max_bytes: int) -> Iterator[str]:
    """Whole texts until `max_bytes` are reached, cut where a run of letters, signs or white space is longer than any word."""
    for member in _until(members, max_bytes):
        yield from _pieces(member.decode())


def _until(members: Iterator[bytes], max_bytes: int) -> Iterator[bytes]:
    """Whole texts until `max_bytes` are reached."""
    total = 0
    for member in members:
        yield member
        total += len(member)
        if total >= max_bytes:
            return


def _pieces(text: str) -> Iterator[str]:
    start = 0
    for found in LONG_RUN.finditer(text):
        yield text[start : found.end()]
        start = found.end()
    yield text[start:]
