"""A small shards artifact in a store, beside its corpus: pictures, sounds and texts of three classes, and something bad of every kind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pipeline.store import LocalStore
from tests.chaos.good_media import picture, sound
from tests.chaos.lies import png
from tests.chaos.malformed import pickled
from tests.tasks.modalities import drawings
from tests.tasks.modalities.pictures import pixels, saved
from tests.tasks.shards.corpora import Record, make_shards, write_corpus

CLASSES = ("maple", "heron", "lighthouse")
SPLITS = ("train", "train", "train", "val", "test")
HOSTILE = "<script>document.title='pwned'</script>"
CORPUS, SHARDS = "c0" * 32, "5a" * 32


def records() -> list[Record]:
    """60 whole ones, and the bad."""
    made = []
    for number in range(60):
        label = CLASSES[number % 3]
        members: dict[str, bytes | None] = {
            "image": saved(pixels(96, 72, number), "JPEG", quality=90),
            "text": f"A {label}, seen for the {number}th time; {HOSTILE if number == 7 else 'in plain words'}.".encode(),
        }
        if number % 4:
            members["audio"] = sound("FLAC", "PCM_16", number)
        made.append(
            Record(f"{label}/{number:03d}", members, SPLITS[number % 5], {"kind": label, "height": number / 7}, group=f"g{number // 2}")
        )
    good = {"kind": "maple", "height": 1.0}
    whole = picture("png", 99)
    made += [
        Record("bad/bomb", {"image": png(width=60_000, height=60_000)}, labels=good),
        Record("bad/cut", {"image": picture("jpeg", 1)[:-50], "text": b"The picture of this one is cut off."}, labels=good),
        Record("bad/cut-too", {"image": picture("jpeg", 2)[:-90]}, labels=good),
        Record("bad/gone", {"image": None}, labels=good),
        Record("bad/pickle", {"image": pickled()}, labels=good),
        Record("bad/script", {"image": drawings.svg(f"<script>{HOSTILE}</script>")}, labels=good),
        Record("bad/latin", {"image": whole, "text": "grüße".encode("latin-1")}, labels=good),
        Record("bad/small", {"image": saved(pixels(6, 6, 1), "PNG"), "text": b"This picture is too small."}, labels=good),
        Record("copy/of-one", made[1].members, labels=made[1].labels),
    ]
    return made


def make(root: Path) -> Path:
    """The folder of the shards."""
    store = LocalStore.open(root / "store")
    folder = root / "store" / "artifacts" / CORPUS[:2] / CORPUS
    corpus = replace(write_corpus(folder, records(), label_kinds={"height": "number"}), key=CORPUS)
    shards = root / "store" / "artifacts" / SHARDS[:2] / SHARDS
    prepare = {"image": {"min_side": 8}, "audio": {}, "text": {}}
    make_shards(shards, corpus, store, prepare=prepare, bad_records={"max_rate": 0.5})
    return shards
