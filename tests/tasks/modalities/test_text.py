"""`tasks.modalities.text` and its reader."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tasks.contracts import Fit
from tasks.errors import BadMember, CorruptArtifact, FilteredOut
from tasks.modalities.config import TextFit, TextPrepare, TextRead
from tasks.modalities.text import Text
from tasks.modalities.text_reader import TextReader

TEXT = Text()
CORPUS = ["a handwritten seven", "a handwritten eight", "siete", "an odd digit", "grün und weiß"] * 20


def encode(data: bytes | str, **options: Any) -> str:
    encoded = TEXT.encode(data.encode() if isinstance(data, str) else data, TextPrepare(**options))
    assert encoded.extension == "txt"
    return encoded.data.decode()


def learned(texts: list[str] = CORPUS, **options: Any) -> Fit:
    return TEXT.fit(TextFit(**options), {"count": len(texts)}, lambda: (text.encode() for text in texts))


def reader(learned_fit: Fit, **options: Any) -> TextReader:
    return TextReader.build(TextRead(**options), learned_fit)


# ---- preparing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        ("sâ€™il vous plaÃ®t", {}, "s’il vous plaît"),
        ("sâ€™il", {"repair": False}, "sâ€™il"),
        ("a &amp; b", {}, "a & b"),
        ("Cafe\u0301", {}, "Café"),
        ("Cafe\u0301", {"normalise": "none", "repair": False}, "Cafe\u0301"),
        ("①", {"normalise": "NFKC"}, "1"),
        ("Seven UP", {"lower": True}, "seven up"),
        ("Don’t stop, now!(ok)", {"punctuation": "remove"}, "Dont stop now ok"),
        ("  a\t\r\n b  ", {}, "a b"),
        ("a\n\nb", {"collapse_whitespace": False}, "a\n\nb"),
        ("x\x00y\x07", {}, "xy"),
        ("“quoted”", {}, "“quoted”"),
        ("\ufeffseven", {}, "seven"),
    ],
)
def test_text_is_repaired_and_normalised_as_asked(given: str, options: dict[str, Any], expected: str) -> None:
    assert encode(given, **options) == expected


def test_bytes_that_are_not_utf8_are_refused_with_their_offset() -> None:
    with pytest.raises(
        BadMember, match=r"text/not_utf8: byte 0xfc at offset 2 is not utf-8 \(.*\), which was tried; set `encoding:` under `text`"
    ):
        encode("grün".encode("latin-1"))
    with pytest.raises(BadMember, match="at offset 5"):
        encode(b"\xef\xbb\xbfab\xff")


def test_another_encoding_is_read_when_it_is_named() -> None:
    assert encode("grün".encode("latin-1"), encoding="latin-1") == "grün"
    assert encode("grün".encode("utf-16"), encoding="utf-16") == "grün"
    with pytest.raises(BadMember, match=r"text/encoding: byte 0x81 at offset 0 is not cp1252 \(.*\), which was tried"):
        encode(b"\x81", encoding="cp1252")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding_to_set(encoding: str) -> None:
    with pytest.raises(BadMember, match=f"it begins like {encoding}: set `encoding: {encoding}` under `text` of `prepare`"):
        encode("grün".encode(encoding))
    with pytest.raises(BadMember, match=r"byte 0x.. at offset \d+ is not utf-8 .* set `encoding:` under `text`"):
        encode("grün".encode(f"{encoding}-be"))


def test_an_encoding_that_fails_without_a_position_is_refused_as_well() -> None:
    with pytest.raises(BadMember, match=r"text/encoding: undefined was tried: .*undefined encoding.*; set `encoding:`"):
        encode(b"abc", encoding="undefined")


@pytest.mark.parametrize("data", [b"", b"   \n", b"\xef\xbb\xbf"])
def test_text_without_content_is_refused(data: bytes) -> None:
    with pytest.raises(BadMember, match="text/empty"):
        encode(data)


def test_limits_and_filters_say_what_was_given_and_asked() -> None:
    with pytest.raises(BadMember, match="text/too_large: 11 bytes; `max_bytes` of its `prepare` allows 10"):
        encode("x" * 11, max_bytes=10)
    with pytest.raises(FilteredOut, match="text/min_chars: 3 characters; 4 are asked for"):
        encode(" abc ", min_chars=4)


def test_statistics_count_what_is_stored() -> None:
    stats = TEXT.encode("  zwölf  Sätze ".encode(), TextPrepare()).stats
    assert (stats["chars"], stats["words"], stats["bytes"], stats["max_words"]) == (11, 2, 13, 2)


@pytest.mark.parametrize("options", [{"encoding": "utf-9"}, {"encoding": "base64"}, {"normalise": "NFX"}, {"max_bytes": 0}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TextPrepare(**options)


# ---- tokenizers -------------------------------------------------------------------------------------------------------


def test_special_tokens_come_first_and_the_vocabulary_has_the_asked_size() -> None:
    fit = learned(vocab_size=280)
    assert {name: fit.values[name] for name in ("pad", "unk", "bos", "eos", "vocab_size", "count")} == {
        "pad": 0,
        "unk": 1,
        "bos": 2,
        "eos": 3,
        "vocab_size": 280,
        "count": 100,
    }
    vocabulary = json.loads(fit.files["tokenizer.json"])["model"]["vocab"]
    assert sorted(vocabulary.values()) == list(range(280))


def test_little_text_gives_fewer_tokens_and_says_how_many() -> None:
    fit = learned(["ab"], vocab_size=5000)
    assert fit.values["vocab_size"] == len(json.loads(fit.files["tokenizer.json"])["model"]["vocab"]) == 260


def test_the_same_texts_give_the_same_tokenizer_in_every_process() -> None:
    code = (
        "import hashlib, json, sys; from tasks.modalities.text import Text; from tasks.modalities.config import TextFit; "
        "texts = json.load(sys.stdin); "
        "fit = Text().fit(TextFit(vocab_size=300), {}, lambda: (t.encode() for t in texts)); "
        "print(hashlib.sha256(fit.files['tokenizer.json']).hexdigest())"
    )
    root = Path(__file__).parents[3]
    found = set()
    for parallel in ("true", "false"):
        environment = {"TOKENIZERS_PARALLELISM": parallel, "PATH": ""}
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=root, env=environment, input=json.dumps(CORPUS), capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1


def test_only_the_first_bytes_are_learned_from() -> None:
    assert learned(["abab"] * 50 + ["xyxy"] * 50, max_bytes=200).files == learned(["abab"] * 50).files


@pytest.mark.parametrize("options", [{"tokenizer": "byte"}, {"vocab_size": 280}])
def test_ids_stay_inside_the_vocabulary_for_any_text(options: dict[str, Any]) -> None:
    fit = learned(**options)
    ids = reader(fit).read("日本語 🎉 \x00 <pad> seven".encode())
    assert ids.min() >= 4, "no text gives a special token"
    assert ids.max() < reader(fit).shape["vocab_size"] == fit.values["vocab_size"]


def test_a_text_cannot_write_special_tokens() -> None:
    assert 0 not in reader(learned()).read(b"<pad><eos>").tolist()
    assert 3 not in reader(learned()).read(b"<pad><eos>").tolist()


def test_the_byte_tokenizer_is_the_bytes() -> None:
    assert reader(learned(tokenizer="byte")).read(b"AB").tolist() == [69, 70]
    assert learned(tokenizer="byte").files == {}


def test_long_texts_are_cut_and_bos_and_eos_count() -> None:
    fit = learned(tokenizer="byte")
    assert reader(fit, max_tokens=3).read(b"ABCDEF").tolist() == [69, 70, 71]
    assert reader(fit, max_tokens=4, bos=True, eos=True).read(b"ABCDEF").tolist() == [2, 69, 70, 3]
    assert reader(fit, max_tokens=9, bos=True, eos=True).read(b"A").tolist() == [2, 69, 3]
    assert reader(fit, max_tokens=1, bos=True, eos=True).read(b"A").tolist() == [2]
    assert reader(fit).read(b"").tolist() == [1], "never empty"


def test_batches_are_padded_with_zeros() -> None:
    byte = reader(learned(tokenizer="byte"))
    batch = byte.collate([byte.read(b"AB"), None, byte.read(b"A")])
    assert batch.values.tolist() == [[69, 70], [0, 0], [69, 0]]
    assert batch.values.dtype == torch.int64
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [2, 1, 1]


def test_a_pickled_reader_still_takes_special_tokens_for_text() -> None:
    twin = pickle.loads(pickle.dumps(reader(learned())))
    assert 0 not in twin.read(b"<pad>").tolist()


def test_a_missing_tokenizer_is_a_corrupt_artifact() -> None:
    with pytest.raises(CorruptArtifact, match=r"tokenizer\.json"):
        reader(Fit(learned().values))


def test_a_stored_text_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(BadMember, match="text/not_utf8"):
        reader(learned()).read(b"\xff")
