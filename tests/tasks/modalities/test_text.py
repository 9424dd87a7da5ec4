"""`tasks.modalities.text` and its reader."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

from tasks.contracts import Fit
from tasks.errors import BadMember, CorruptArtifact, FilteredOut
from tasks.modalities.config import Language, TextFit, TextPrepare, TextRead
from tasks.modalities.ngrams import learn
from tasks.modalities.stop_words import LISTS, stop_words
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


# ---- stop words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "languages", "expected"),
    [
        ("The cat and the dog", ["en"], "cat dog"),
        ("Is this the cat? It isn’t!", ["en"], "cat? !"),
        ("L'arbre qu'il aime, d’un vert sombre", ["fr"], "arbre aime, vert sombre"),
        ("Кот и собака", ["ru"], "Кот собака"),
        ("में किताब पढ़ता हूँ", ["hi"], "किताब पढ़ता हूँ"),
        ("Der Hund und the cat", ["de", "en"], "Hund cat"),
        ("The E\u0301te\u0301 e\u0301te\u0301 sombre", ["fr"], "The sombre"),
        ("don't donut 'and' (and) and-so-on", ["en"], "donut '' () and-so-on"),
        ("les chats '", ["fr"], "chats '"),
        ("猫と犬", ["en"], "猫と犬"),
    ],
)
def test_stop_words_of_the_asked_languages_are_taken_out(given: str, languages: list[str], expected: str) -> None:
    for normalise in ("NFC", "none"):
        assert encode(given, stop_words=languages, repair=False, normalise=normalise) == expected


def test_stop_words_go_before_punctuation_does() -> None:
    assert encode("Don't stop, the cat!", stop_words=["en"], punctuation="remove", lower=True) == "stop cat"


def test_without_stop_words_asked_for_nothing_is_taken_out_and_no_key_changes() -> None:
    assert encode("the cat") == "the cat"
    assert "stop_words" not in TextPrepare().model_dump(mode="json")
    assert TextPrepare(stop_words=("fr", "en", "fr")).model_dump(mode="json")["stop_words"] == ["en", "fr"]


def test_a_text_of_stop_words_alone_is_filtered_and_not_bad() -> None:
    with pytest.raises(FilteredOut, match=r"text/stop_words: it is made of stop words alone \(en\)"):
        encode("That is it", stop_words=["en"])
    with pytest.raises(BadMember, match="text/empty"):
        encode(" ", stop_words=["en"])


def test_a_language_without_a_list_is_refused() -> None:
    with pytest.raises(ValidationError, match="'ar', 'bg'"):
        TextPrepare.model_validate({"stop_words": ["zh"]})


def test_every_language_has_words_and_they_are_as_they_are_compared() -> None:
    lists = stop_words()
    assert set(get_args(Language)) == set(lists)
    for words in lists.values():
        assert len(words) > 90
        assert all(word == unicodedata.normalize("NFC", word).casefold() and "’" not in word for word in words)
    assert hashlib.sha256(LISTS.read_bytes()).hexdigest()[:16] == "da59dbbcd3c6a3e3", (
        "the lists changed: raise the version of text in MODALITIES"
    )


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


@pytest.mark.parametrize("tokenizer", ["bpe", "word", "byte"])
def test_without_training_text_there_is_still_a_tokenizer(tokenizer: str) -> None:
    fit = learned([], tokenizer=tokenizer)
    ids = reader(fit).read(b"a handwritten seven")
    assert ids.max() < fit.values["vocab_size"] == {"bpe": 260, "word": 4, "byte": 260}[tokenizer]
    assert len(ids) == (3 if tokenizer == "word" else 19)
    assert tokenizer != "word" or set(ids) == {1}, "every word is unknown"


def test_words_are_numbered_by_frequency_and_then_by_spelling() -> None:
    fit = learned(["b a, b! x_1", "A b a, Über", "Über कितना कितना x_1 日本語の 日本語の"], tokenizer="word")
    vocabulary = json.loads(fit.files["tokenizer.json"])["model"]["vocab"]
    tokens = ["<pad>", "<unk>", "<bos>", "<eos>", "b", ",", "a", "x_1", "Über", "कितना", "日本語の"]
    assert sorted(vocabulary, key=vocabulary.get) == tokens
    assert fit.values["vocab_size"] == len(tokens)
    words = reader(fit, bos=True)
    assert words.read("b, c Über日本語の".encode()).tolist() == [2, 4, 5, 1, 1], "what no space parts is one word"


def test_rare_words_and_those_beyond_the_vocabulary_are_unknown() -> None:
    texts = ["a a a b b c"]
    assert reader(learned(texts, tokenizer="word", min_frequency=3)).read(b"a b c").tolist() == [4, 1, 1]
    assert reader(learned(texts, tokenizer="word", min_frequency=1, vocab_size=6)).read(b"a b c").tolist() == [4, 5, 1]


def test_word_tokens_cannot_be_written_in_a_text() -> None:
    fit = learned(["<pad> pad <eos> eos"] * 2, tokenizer="word")
    assert set(reader(fit).read(b"<pad> <eos>").tolist()) & {0, 2, 3} == set()


def test_what_is_learned_is_the_same_bytes_as_ever() -> None:
    fits = {kind: learned(CORPUS, tokenizer=kind, vocab_size=280).files["tokenizer.json"] for kind in ("bpe", "word")}
    assert {kind: hashlib.sha256(data).hexdigest()[:16] for kind, data in fits.items()} == {
        "bpe": "6ff6ba945d2dc1f0",
        "word": "2543d78434112953",
    }


def test_pairs_need_room_for_all_bytes_and_words_do_not() -> None:
    with pytest.raises(ValidationError, match="`bpe` needs 260 for its 256 bytes"):
        TextFit(vocab_size=100)
    assert TextFit(vocab_size=100, tokenizer="word").vocab_size == 100


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


def test_a_reader_spells_out_what_each_token_stands_for() -> None:
    words, pairs, bytes_ = (reader(learned(tokenizer=kind)) for kind in ("word", "bpe", "byte"))
    for each in (words, pairs, bytes_):
        spelled = each.spellings()
        assert len(spelled) == each.shape["vocab_size"]
        assert spelled[:4] == ["<pad>", "<unk>", "<bos>", "<eos>"]
    assert [words.spellings()[place] for place in words.read(b"siete und odd")] == ["siete", "und", "odd"]
    assert "".join(pairs.spellings()[place] for place in pairs.read(b"a handwritten seven")) == "a handwritten seven"
    assert bytes_.spellings()[4 + ord("a")] == "a"
    assert (words.whole_words, pairs.whole_words, bytes_.whole_words) == (True, False, False)


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


def test_ids_become_the_text_they_were_read_from() -> None:
    for text in ("a handwritten seven", "grün & weiß, 日本語 🎉", " two  spaces ", ""):
        for kind in ("byte", "bpe"):
            given = reader(learned(tokenizer=kind), bos=True, eos=True)
            assert given.text([*given.read(text.encode()).tolist(), 0, 0]) == text
    words = reader(learned(tokenizer="word"), bos=True, eos=True)
    assert words.text(words.read(b"an  odd zebra,digit").tolist()) == "an odd \ufffd \ufffd digit"


def test_any_ids_become_a_text() -> None:
    for kind in ("byte", "bpe", "word"):
        given = reader(learned(tokenizer=kind))
        assert isinstance(given.text(range(given.shape["vocab_size"])), str)
        assert given.text([0, 2, 3]) == given.text([]) == ""
    assert reader(learned(tokenizer="byte")).text([4 + 0xFC, 4 + 65]) == "\ufffdA"


@pytest.mark.parametrize("tokenizer", ["byte", "bpe", "word"])
def test_a_language_model_is_learned_if_asked_for_from_the_tokens_that_the_reader_gives(tokenizer: str) -> None:
    fitted = learned(tokenizer=tokenizer, language_model={"order": 3})
    given = pickle.loads(pickle.dumps(reader(fitted)))
    model = given.language_model()
    assert model is not None
    assert fitted.files["ngrams.safetensors"] == learn((given.read(text.encode()) for text in CORPUS), 3)
    first, other = given.read(b"a handwritten")[:1], given.read("weiß".encode())[:1]
    assert model.log_probability((), int(first[0])) > model.log_probability((), int(other[0]))
    assert reader(learned(tokenizer=tokenizer)).language_model() is None
    assert "ngrams.safetensors" not in learned(tokenizer=tokenizer).files


def test_a_language_model_learns_from_the_first_texts_alone() -> None:
    few = learned(tokenizer="byte", language_model={"order": 2, "max_bytes": 30})
    assert few.files["ngrams.safetensors"] == learn(([byte + 4 for byte in text.encode()] for text in CORPUS[:2]), 2)


def test_what_was_fitted_before_there_were_language_models_is_dumped_as_before() -> None:
    assert "language_model" not in TextFit().model_dump()
