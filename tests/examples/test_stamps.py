"""The stamps' source on a small folder of the same layout, made here; and the whole recipe on the real package where it is installed."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image

from pipeline.store import LocalStore
from tasks.contracts import Artifact, SourceRecord
from tasks.errors import SourceError
from tasks.ingest import IngestConfig, SplitConfig, ingest
from tasks.shards.verify import verify
from tests.conftest import ROOT
from tests.examples.conftest import EXAMPLES, on_path
from tests.tasks.shards.corpora import hashes, make_shards
from tests.tasks.sources.toys import context, write_files

PACKAGE = Path("/usr/share/tuxpaint/stamps")
LANGUAGES = ("en", "es", "fr")


def picture(seed: int, side: int = 12, opaque_rows: int = 12) -> bytes:
    """A square of noise whose lower rows are transparent."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 4), dtype=np.uint8)
    pixels[..., 3] = 0
    pixels[:opaque_rows, :, 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(buffer, "PNG")
    return buffer.getvalue()


def recording(seed: int, kind: str = "OGG") -> bytes:
    """A tenth of a second of noise."""
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, 1600).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, 16_000, format=kind)
    return buffer.getvalue()


def stamp(name: str, number: int, *languages: str) -> dict[str, bytes]:
    """Picture, captions in Spanish, French and Polish, and recordings in `languages`."""
    captions = f"Stamp {number}.\naf.utf8=\nes.utf8=Un sello {number}.\nfr.utf8=Un timbre n° {number}.\npl.utf8=Znaczek {number}.\n"
    sounds = {f"{name}_desc{'' if language == 'en' else f'_{language}'}.ogg": language for language in languages}
    made = {path: recording(100 * number + LANGUAGES.index(language)) for path, language in sounds.items()}
    return {f"{name}.png": picture(number), f"{name}.txt": captions.encode(), **made}


ODD: dict[str, tuple[bytes, str]] = {
    "animals/birds/owl.dat": (b"nocolor\n", "settings of Tux Paint"),
    "animals/birds/owl.ogg": (recording(1), "a sound that is not a description"),
    "animals/birds/owl_de.ogg": (recording(2), "a sound that is not a description"),
    "animals/birds/owl_mirror.png": (picture(3), "a picture drawn again for its mirrored use"),
    "animals/birds/owl.svg": (b"<svg/>", "the same picture in the other format"),
    "animals/birds/owl_desc_fr.wav": (recording(4, "WAV"), "the same recording in the other format"),
    "animals/birds/owl_desc_pl.ogg": (recording(5), "a recording in a language that is not asked for"),
    "animals/birds/owl_desc_fr.ogg.ogg": (recording(6), "a file of unknown kind"),
    "animals/birds/crow_desc_fr.ogg": (recording(7), "a recording without a picture"),
    "animals/birds/jay.txt": (b"A jay.\n", "captions without a picture"),
    "animals/mute.png": (picture(8), "a picture without a recording and its caption in these languages"),
    "animals/mute.txt": (b"A mute swan.\n", "captions of a picture that is left out"),
    "animals/unwritten.png": (picture(9), "a picture without a recording and its caption in these languages"),
    "animals/unwritten_desc_fr.ogg": (recording(10), "a recording without a caption in its language"),
    "animals/utf16.png": (picture(11), "a picture without a recording and its caption in these languages"),
    "animals/utf16.txt": (
        "A word.\nfr.utf8=Un mot.\n".encode("utf-16"),
        "a caption file in UTF-16, which is not read: convert it with `iconv -f UTF-16 -t UTF-8`",
    ),
    "animals/utf16_desc_fr.ogg": (recording(12), "a recording without a caption in its language"),
    "animals/utf32.png": (picture(13), "a picture without a recording and its caption in these languages"),
    "animals/utf32.txt": (
        "A word.\n".encode("utf-32"),
        "a caption file in UTF-32, which is not read: convert it with `iconv -f UTF-32 -t UTF-8`",
    ),
    "animals/nul.png": (picture(14), "a picture without a recording and its caption in these languages"),
    "animals/nul.txt": (b"A\0word.\n", "a caption file that is not lines of text: it has bytes that are 0, so write it anew in UTF-8"),
    "README": (b"about", "a file of unknown kind"),
    ".hidden": (b"", "a file of unknown kind"),
}
"""Files that no sample has, and the reason that the account gives."""
GOOD = stamp("animals/birds/owl", 1, "en", "es", "fr") | stamp("animals/frog", 2, "fr") | stamp("food/fruit/pear", 3, "es", "fr")


@pytest.fixture(scope="module")
def stamps() -> Iterator[ModuleType]:
    with on_path(EXAMPLES / "stamps"):
        import importlib

        yield importlib.import_module("stamps")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_files(tmp_path / "stamps", GOOD | {path: data for path, (data, _) in ODD.items()})


def source(stamps: ModuleType, folder: Path, **config: Any) -> Any:
    kind = stamps.Stamps
    return kind(kind.Config(format="stamps:Stamps", path=folder.name, **{"languages": LANGUAGES} | config), folder.parent)


def records(stamps: ModuleType, folder: Path, **config: Any) -> dict[str, SourceRecord]:
    return {record.key: record for record in source(stamps, folder, **config).records(folder.parent)}


def account(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "files.csv").open(newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


def ingested(folder: Path, name: str, **config: Any) -> Artifact:
    """A corpus of the stamps in `folder`, as the recipe makes it."""
    output = folder.parent / name
    output.mkdir()
    said = {"format": "stamps:Stamps", "path": folder.name, "languages": LANGUAGES, **config}
    ingest(IngestConfig(source=said, split=SplitConfig(test=0.3)), {}, output, context(folder.parent))
    return Artifact("corpus", name, output)


def text_of(record: SourceRecord) -> bytes:
    place = record.members["text"]
    if place.inline is not None:
        return place.inline
    assert place.offset is not None
    return Path(place.uri).read_bytes()[place.offset : place.offset + (place.length or 0)]


def test_a_sample_is_a_picture_with_its_caption_and_its_recording_in_one_language(stamps: ModuleType, folder: Path) -> None:
    found = records(stamps, folder)
    assert sorted(found) == [
        "animals/birds/owl/en",
        "animals/birds/owl/es",
        "animals/birds/owl/fr",
        "animals/frog/fr",
        "food/fruit/pear/es",
        "food/fruit/pear/fr",
    ]
    owl = found["animals/birds/owl/fr"]
    assert Path(owl.members["image"].uri).read_bytes() == GOOD["animals/birds/owl.png"]
    assert Path(owl.members["audio"].uri).read_bytes() == GOOD["animals/birds/owl_desc_fr.ogg"]
    assert text_of(owl).decode() == "Un timbre n° 1."
    assert text_of(found["animals/birds/owl/en"]).decode() == "Stamp 1."
    assert owl.labels == {"category": "animals", "language": "fr", "area": 100.0}
    assert owl.group == "animals/birds/owl"


def test_every_file_is_a_member_of_a_sample_or_named_with_a_reason(stamps: ModuleType, folder: Path) -> None:
    made = source(stamps, folder)
    found = list(made.records(folder.parent))
    rows = account(folder.parent)
    assert set(rows) == {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {path: row["left_out"] for path, row in rows.items() if row["left_out"]} == {path: why for path, (_, why) in ODD.items()}
    uses = Counter(place.uri for record in found for place in record.members.values())
    assert {str(folder / path): int(row["records"]) for path, row in rows.items() if not row["left_out"]} == uses
    assert sum(made.snapshot()["left_out"].values()) == len(ODD)
    assert len(rows) == len(ODD) + len(GOOD)
    assert all(int(row["bytes"]) == (folder / path).stat().st_size for path, row in rows.items())


def test_the_account_the_corpus_and_the_ledger_agree(stamps: ModuleType, folder: Path) -> None:
    (folder / "food/fruit/pear_desc_es.ogg").write_bytes(b"no sound")
    corpus = ingested(folder, "corpus")
    rows = pq.read_table(corpus.path / "records.parquet").to_pylist()
    uses = Counter(row[f"{name}.uri"] for row in rows for name in ("image", "text", "audio"))
    assert uses == {str(folder / path): int(row["records"]) for path, row in account(corpus.path).items() if row["records"] != "0"}
    prepare = {"image": {"size": [8, 8]}, "text": {}, "audio": {"rate_hz": 8000}}
    bad = {"bad_records": {"probation": 100}, "unseen_labels": "drop"}
    summary = make_shards(folder.parent / "out", corpus, LocalStore.open(folder.parent / "store"), prepare=prepare, **bad)
    ledger = {row["key"]: row["status"] for row in pq.read_table(folder.parent / "out" / "ledger.parquet").to_pylist()}
    assert set(ledger) == {row["key"] for row in rows}
    assert [key for key, status in ledger.items() if status != "written"] == ["food/fruit/pear/es"]
    assert summary["ledger"]["in"] == len(rows) == sum(count for status, count in summary["ledger"].items() if status != "in")


def test_drawings_come_after_pixels_and_may_be_refused(stamps: ModuleType, tmp_path: Path) -> None:
    owl = stamp("animals/owl", 1, "fr") | {"animals/owl.svg": b"<svg/>"}
    drawn = {path.replace("owl", "elk"): data for path, data in owl.items() if path != "animals/owl.png"}
    folder = write_files(tmp_path / "stamps", owl | drawn)
    both, svg_first = (records(stamps, folder, languages=("fr",), pictures=order) for order in (("png", "svg"), ("svg", "png")))
    assert [Path(record.members["image"].uri).suffix for record in both.values()] == [".svg", ".png"]
    assert [Path(record.members["image"].uri).suffix for record in svg_first.values()] == [".svg", ".svg"]
    assert "area" not in both["animals/elk/fr"].labels
    assert list(records(stamps, folder, languages=("fr",), pictures=("png",))) == ["animals/owl/fr"]
    assert {path: row["left_out"] for path, row in account(tmp_path).items() if row["left_out"]} == {
        "animals/elk.svg": "a picture in a format that is not asked for",
        "animals/elk.txt": "captions of a picture that is left out",
        "animals/elk_desc_fr.ogg": "a recording of a picture that is left out",
        "animals/owl.svg": "the same picture in the other format",
    }


def test_captions_in_another_encoding_become_utf_8(stamps: ModuleType, tmp_path: Path) -> None:
    captions = b"\xef\xbb\xbfAn owl.\r\nes.utf8= \xc3\x91and\xc3\xba. \r\nfr.iso8859-1=Un h\xe9ron.\r\nru.koi8-r=\xf3\xcf\xd7\xc1.\r\n"
    files = stamp("animals/owl", 1, "en", "es", "fr") | {"animals/owl.txt": captions, "animals/owl_desc_ru.ogg": recording(1)}
    found = records(stamps, write_files(tmp_path / "stamps", files), languages=(*LANGUAGES, "ru"))
    texts = {str(record.labels["language"]): text_of(record).decode() for record in found.values()}
    assert texts == {"en": "An owl.", "es": "Ñandú.", "fr": "Un héron.", "ru": "Сова."}


@pytest.mark.parametrize("line", [b"fr.utf8=Un h\xe9ron.", b"fr.ascii=Un h\xe9ron.", b"fr.klingon=Un h\xe9ron."])
def test_a_caption_that_is_not_what_its_line_promises_ends_in_the_ledger_with_a_reason(
    stamps: ModuleType, tmp_path: Path, line: bytes
) -> None:
    files = stamp("animals/owl", 1, "en", "fr") | {"animals/owl.txt": b"An owl.\n" + line + b"\n"}
    corpus = ingested(write_files(tmp_path / "stamps", files), "corpus", languages=("en", "fr"))
    make_shards(tmp_path / "out", corpus, LocalStore.open(tmp_path / "store"), prepare={"text": {}})
    ledger = {row["key"]: row for row in pq.read_table(tmp_path / "out" / "ledger.parquet").to_pylist()}
    assert ledger["animals/owl/en"]["status"] == "written"
    assert (ledger["animals/owl/fr"]["status"], ledger["animals/owl/fr"]["reason"]) == ("quarantined", "text/not_utf8")


@pytest.mark.parametrize(("opaque_rows", "percent"), [(12, 100.0), (3, 25.0), (0, 0.0)])
def test_the_area_is_the_opaque_share_of_the_square_around_the_picture(
    stamps: ModuleType, tmp_path: Path, opaque_rows: int, percent: float
) -> None:
    (tmp_path / "a.png").write_bytes(picture(1, opaque_rows=opaque_rows))
    assert stamps.opaque_percent(tmp_path / "a.png") == percent


def test_the_area_of_a_flat_picture_counts_what_is_missing_to_a_square_and_a_broken_one_has_none(
    stamps: ModuleType, tmp_path: Path
) -> None:
    Image.new("RGB", (20, 5)).save(tmp_path / "flat.png")
    assert stamps.opaque_percent(tmp_path / "flat.png") == 25.0
    (tmp_path / "broken.png").write_bytes(picture(1)[:60])
    assert stamps.opaque_percent(tmp_path / "broken.png") is None


def test_a_snapshot_is_stable_counts_what_will_come_and_notices_a_changed_file(stamps: ModuleType, folder: Path) -> None:
    before = source(stamps, folder).snapshot()
    assert source(stamps, folder).snapshot() == before
    assert before["records"] == 6
    found = records(stamps, folder).values()
    members = [place for record in found for place in record.members.values()]
    assert before["bytes"] == sum(place.length or place.size for place in members)
    os.utime(folder / "animals/frog.png", ns=(0, 1))
    assert source(stamps, folder).snapshot()["digest"] != before["digest"]


def test_links_to_files_are_those_files_and_a_link_to_nothing_is_in_the_account(stamps: ModuleType, folder: Path) -> None:
    (folder / "animals/frog.txt").rename(folder.parent / "elsewhere.txt")
    (folder / "animals/frog.txt").symlink_to(folder.parent / "elsewhere.txt")
    (folder / "animals/lost.ogg").symlink_to(folder / "nowhere.ogg")
    before = source(stamps, folder).snapshot()
    assert before["records"] == 6
    assert before["left_out"]["a sound that is not a description"] == 3
    os.utime(folder.parent / "elsewhere.txt", ns=(0, 1))
    assert source(stamps, folder).snapshot()["digest"] != before["digest"]


def test_planning_imports_neither_numpy_nor_pillow() -> None:
    code = "import sys, stamps; sys.exit(', '.join({'numpy', 'PIL', 'soundfile', 'torch'} & set(sys.modules)) or 0)"
    paths = [str(EXAMPLES / "stamps"), str(EXAMPLES.parent)]
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(paths)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_package_says_how_to_get_it(stamps: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"is not there.*apt-get install tuxpaint-stamps-default.*--set steps\.corpus\.source\.path"):
        source(stamps, tmp_path / "nowhere").snapshot()


def test_an_unknown_language_gets_the_languages_that_are_there(stamps: ModuleType, folder: Path) -> None:
    with pytest.raises(
        SourceError, match=r"no recording below .* is in 'esp'; recordings are in en \(1\), es \(2\), .*did you mean 'es'\?"
    ):
        source(stamps, folder, languages=("esp",)).snapshot()


def test_a_folder_without_a_whole_sample_is_refused(stamps: ModuleType, tmp_path: Path) -> None:
    files = {path: data for path, data in stamp("animals/owl", 1, "fr").items() if not path.endswith(".txt")}
    with pytest.raises(SourceError, match="has a recording and a caption in fr; name other languages"):
        source(stamps, write_files(tmp_path / "stamps", files), languages=("fr",)).snapshot()


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")  # Ray's own use of its deprecated settings
def test_one_percent_of_new_pictures_decodes_only_those_and_gives_the_tars_of_a_build_from_nothing(
    stamps: ModuleType, tmp_path: Path
) -> None:
    def built(folder: Path, name: str, store: str) -> dict[str, Any]:
        settings = {"prepare": {"image": {"size": [8, 8], "fit": "pad"}, "text": {}, "audio": {"rate_hz": 8000}}}
        sizes = {"sizes": {"min_records": 30, "max_records": 60}, "unseen_labels": "drop"}
        corpus = ingested(folder, f"{name}-corpus", languages=("es", "fr"))
        return make_shards(tmp_path / name, corpus, LocalStore.open(tmp_path / store), **settings, **sizes)

    folder = tmp_path / "stamps"
    for number in range(100):
        write_files(folder, stamp(f"{('animals', 'food', 'town')[number % 3]}/s{number:03d}", number, "es", "fr"))
    built(folder, "before", "store")
    write_files(folder, stamp("food/new", 100, "es", "fr"))
    summary = built(folder, "after", "store")
    assert summary["members"] == {"encoded": 2 * 3, "copied": summary["members"]["copied"]}
    assert summary["units"]["reused"] > 0
    built(folder, "nothing", "empty")
    assert hashes(tmp_path / "after") == hashes(tmp_path / "nothing")
    assert verify(tmp_path / "after") == []


@pytest.mark.skipif(not PACKAGE.is_dir(), reason=f"needs the stamps of Tux Paint in {PACKAGE}: apt-get install tuxpaint-stamps-default")
@pytest.mark.ray
def test_the_recipe_runs_on_a_part_of_the_real_stamps_and_accounts_for_every_file(tmp_path: Path) -> None:
    options = ["--limit", "600", "--set", "steps.model.epochs=1", "--store", str(tmp_path / "store"), "--json"]
    command = [sys.executable, "-P", "-m", "pipeline", "run", str(EXAMPLES / "stamps" / "recipe.yaml"), *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = json.loads(done.stdout)["steps"]
    corpus, shards, heads = steps["corpus"]["summary"], steps["shards"]["summary"], steps["report"]["summary"]["heads"]
    rows = account(Path(steps["corpus"]["artifact"]))
    assert set(rows) == {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*") if not path.is_dir()}
    assert all(bool(row["left_out"]) == (row["records"] == "0") for row in rows.values())
    assert Counter(row["left_out"] for row in rows.values() if row["left_out"]) == corpus["left_out"]
    assert corpus["records"] == 600 == sum(count for status, count in shards["ledger"].items() if status != "in")
    assert {name: shards["ledger"][name] for name in ("duplicate", "quarantined", "forgotten")} == {
        "duplicate": 0,
        "quarantined": 2,
        "forgotten": 0,
    }
    assert shards["quarantined"] == {"image/svg_entities": 1, "image/svg_external": 1}
    assert list(heads) == ["category", "language", "area"]
    assert heads["category"]["accuracy"] > 0
    assert heads["area"]["rmse"] > 0
    assert verify(Path(steps["shards"]["artifact"])) == []
