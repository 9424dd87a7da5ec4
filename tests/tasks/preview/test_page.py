"""The page of a shards artifact: what is on it, and what must never be."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
from PIL import Image

from pipeline.__main__ import main
from tasks.errors import CorruptArtifact, InputError
from tasks.preview import left_out, page
from tasks.preview.choose import choose
from tasks.preview.page import write_preview
from tasks.shards.read import ShardSet
from tests.conftest import ROOT
from tests.tasks.evaluation.page.test_browser import BROWSER, visit
from tests.tasks.evaluation.page.test_page import read
from tests.tasks.preview.example import CLASSES, HOSTILE, make, records

REASONS = {
    "image/truncated",
    "image/format",
    "image/svg_script",
    "image/too_large",
    "source/unreadable",
    "text/not_utf8",
    "image/min_side",
    "duplicate/exact",
}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("preview"))


@pytest.fixture(scope="module")
def html(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_preview(path, shards)
    return path.read_text(encoding="utf-8")


def embedded(html: str) -> list[tuple[str, bytes]]:
    """Type and content of everything that is inside."""
    return [(kind, base64.b64decode(data)) for kind, data in re.findall(r'"data:([a-z/]+);base64,([^"]+)"', html)]


def test_samples_are_there_with_media_labels_splits_and_sizes(html: str) -> None:
    reader = read(html)
    text = " ".join(reader.text)
    for words in (
        "60 samples",
        "Samples of train",
        "Samples of val",
        "Samples of test",
        "96 × 72 pixels",
        "0.25\u202fs at 8\u202fkHz",
        *CLASSES,
    ):
        assert words in text
    elements = [element for element, _ in reader.elements]
    assert elements.count("audio") >= 20
    assert elements.count("img") >= 36
    assert elements.count("blockquote") >= 36
    assert "no audio" in text
    assert "Balance of" in text
    for element, attributes in reader.elements:
        if element in ("img", "audio"):
            assert attributes.get("alt") or attributes.get("aria-label")


def test_every_reason_is_there_with_its_file_and_what_it_means(html: str) -> None:
    text = " ".join(read(html).text)
    for words in (*REASONS, "bad__bomb.image", "bad__latin.text", "The file ends too early. One of 2 records.", "a copy of copy/of-one"):
        assert words in text


def test_bad_bytes_are_never_inside_and_all_that_is_can_be_decoded(html: str) -> None:
    found = embedded(html)
    bad = [record.members["image"] for record in records() if record.key.startswith("bad/") and record.members["image"]]
    for kind, data in found:
        if kind.startswith("image/"):
            Image.open(io.BytesIO(data)).load()
        else:
            soundfile.read(io.BytesIO(data))
        assert data not in bad, "not even whole pictures of records that were left out are there as they lie in their source"
    assert b"Path" not in b"".join(data for _, data in found)
    assert "touch" not in html


def test_a_harmless_picture_of_a_bad_record_is_drawn_anew(html: str) -> None:
    card = html[html.index("text/not_utf8") :]
    (kind, data), *_ = embedded(card)
    assert kind == "image/jpeg"
    assert Image.open(io.BytesIO(data)).size == (40, 30)


def test_hostile_strings_stay_text_and_nothing_leads_outside(html: str) -> None:
    reader = read(html)
    assert [element for element, _ in reader.elements].count("script") == 1
    assert not re.search(r"https?://|@import|url\(", html)
    for element, attributes in reader.elements:
        for name in ("src", "href", "action", "srcset", "style", "onclick", "onerror"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), f"{element} {name}={value}"
    policy = next(attributes["content"] for _, attributes in reader.elements if attributes.get("http-equiv"))
    assert policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine; install the package `chromium`")
def test_a_browser_shows_it_without_errors_or_requests(shards: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_preview(path, shards, limit=36)
    assert HOSTILE in "".join(read(path.read_text(encoding="utf-8")).text)
    seen = visit(path, tmp_path)
    assert seen.console == []
    assert seen.requested == []
    assert seen.dom.count('class="sound ready"') >= 20
    assert "<title>Shards 5a5a5a5a5a5a</title>" in seen.dom


def test_media_stay_within_their_budget_and_what_is_left_out_is_named(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MEDIA_BUDGET", 20_000)
    monkeypatch.setattr(page, "LEFT_OUT_BUDGET", 5_000)
    write_preview(tmp_path / "page.html", shards)
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert sum(len(found) for found in re.findall(r'"(data:[a-z/]+;base64,[^"]+)"', html)) <= 20_000
    assert "left out to keep this page small" in html


def test_classes_groups_and_sets_of_modalities_are_spread(shards: Path) -> None:
    shard_set = ShardSet.open(shards)
    chosen = choose(shard_set, "train", 6)
    assert chosen == choose(shard_set, "train", 6) == sorted(set(chosen))
    kinds = shard_set.labels("train")["kind"]
    assert {kinds[at] for at in chosen} == set(CLASSES)
    assert len({shard_set.groups("train")[at] for at in chosen}) == 6
    assert {bool(shard_set.present("train")["audio"][at]) for at in chosen} == {True, False}
    assert choose(shard_set, "val", 100) == list(range(12))


def test_without_its_corpus_or_with_changed_sources_it_says_less(tmp_path: Path) -> None:
    shards = make(tmp_path)
    corpus = left_out.corpus_of(shards)
    assert corpus is not None
    for path in corpus.path.glob("media/*latin*"):
        path.write_bytes(b"something else")
    (latin,) = (one for one in left_out.reasons(shards, corpus) if one.reason == "text/not_utf8")
    assert latin.examples[0].previews == ()
    (corpus.path / "corpus.json").unlink()
    write_preview(tmp_path / "page.html", shards)
    assert "The corpus is no longer in the store" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_records_at_which_a_decoder_died_are_never_opened(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(left_out, "_made_anew", lambda corpus, key, source: opened.append(key) or [])
    corpus = left_out.corpus_of(shards)
    row = {"key": "bad/latin", "split": "train", "detail": "", "duplicate_of": None}
    for reason in ("decoder/crashed", "decoder/hung", "text/not_utf8"):
        left_out._example(row | {"reason": reason}, corpus)
    assert opened == ["bad/latin"]


def test_the_verb_writes_the_page_and_says_where_it_is(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "look.html"
    assert main(["shards", "preview", str(shards), "--split", "val", "--limit", "3", "--output", str(target), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["page"], facts["samples"]) == (str(target), {"val": 3})
    assert {one["reason"] for one in facts["left_out"]} == REASONS
    assert facts["bytes"] == target.stat().st_size
    assert main(["shards", "preview", str(shards), "--split", "dev", "--output", str(target)]) == 2
    assert "it has train, val, test" in capsys.readouterr().err
    assert main(["shards", "preview", str(tmp_path)]) == 2


def test_mistakes_and_damage_are_told(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--limit is 0"):
        write_preview(tmp_path / "page.html", shards, limit=0)
    with pytest.raises(CorruptArtifact):
        write_preview(tmp_path / "page.html", tmp_path)


def test_it_needs_neither_ray_nor_torch() -> None:
    code = "import sys, tasks.preview.page; print(sorted({'ray', 'torch', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
