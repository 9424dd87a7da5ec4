"""What is caught of damage: cuts, blanked blocks and changed bytes, counted; and what decoding costs in memory."""

from __future__ import annotations

import hashlib
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.store import LocalStore
from tasks.errors import BadMember, ChangedSource, CorruptArtifact
from tasks.modalities import MODALITIES
from tasks.modalities.jpeg_zeros import MOST, check_zeros
from tasks.modalities.text import _first_bytes
from tasks.shards.corpus import read_source
from tasks.shards.read import ShardSet
from tasks.shards.verify import verify
from tests.chaos.lies import silence
from tests.tasks.modalities.pictures import pixels, saved
from tests.tasks.shards.corpora import Record, make_shards, write_corpus

CODEC, PREPARE = MODALITIES["image"].load(), MODALITIES["image"].prepare()
BLOCK = 512
JPEGS = {
    "smooth": (320, 240, 0, {"quality": 90}),
    "textured": (320, 240, 12, {"quality": 90}),
    "of middling quality": (320, 240, 12, {"quality": 75}),
    "with tables of its own": (320, 240, 12, {"quality": 85, "optimize": True}),
    "in full colour": (240, 160, 12, {"quality": 95, "subsampling": 0}),
    "progressive": (320, 240, 12, {"quality": 90, "progressive": True}),
}


def jpeg(kind: str, seed: int = 0) -> bytes:
    width, height, noise, options = JPEGS[kind]
    rough = pixels(width, height, seed) + np.random.default_rng(seed).normal(scale=noise, size=(height, width, 3))
    return saved(np.clip(rough, 0, 255).astype(np.uint8), "JPEG", **options)


def is_refused(data: bytes) -> bool:
    try:
        CODEC.encode(data, PREPARE)
    except BadMember:
        return True
    return False


def blanked(data: bytes) -> list[bytes]:
    """One for each block of 512 bytes that is zeros."""
    return [data[:start] + bytes(BLOCK) + data[start + BLOCK :] for start in range(0, len(data) - BLOCK, BLOCK)]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_rows": 1}], ids=str)
def test_every_truncation_of_a_jpeg_is_caught(options: dict[str, bool]) -> None:
    data = saved(pixels(40, 30, 3), "JPEG", quality=90, **options)
    assert not is_refused(data)
    assert [size for size in range(len(data)) if not is_refused(data[:size])] == []


def test_at_least_nine_of_ten_blanked_blocks_of_jpegs_are_caught() -> None:
    """Measured: all of the sequential ones, two of three of the progressive ones, whose later scans are half corrections."""
    caught = {kind: [is_refused(changed) for changed in blanked(jpeg(kind))] for kind in JPEGS}
    assert all(len(found) > 10 for found in caught.values())
    shares = {kind: sum(found) / len(found) for kind, found in caught.items()}
    assert min(share for kind, share in shares.items() if kind != "progressive") >= 0.98, shares
    total = [one for found in caught.values() for one in found]
    assert sum(total) / len(total) >= 0.9, shares


def test_zeros_of_a_plain_area_are_no_damage() -> None:
    """Tables of a picture's own give the shortest code to the end of a block, so that a plain picture is zeros for the most part."""
    plain = saved(Image.new("RGB", (2000, 1500), (90, 120, 60)), "JPEG", optimize=True)
    assert bytes(MOST) in plain
    assert not is_refused(plain)
    check_zeros(saved(Image.new("L", (2000, 1500), 128), "JPEG", progressive=True))
    for broken in (b"\xff\xd8" + bytes(200), b"\xff\xd8\xff\xda\x00\x02" + bytes(200), b"\xff\xd8\xff\xc4\xff\xff\x10" + bytes(200)):
        check_zeros(broken)  # for the decoder to refuse


def test_every_truncation_and_every_changed_byte_of_a_png_is_caught() -> None:
    for mode in ("RGB", "P", "LA"):
        data = saved(Image.fromarray(pixels(20, 14, 2)).convert(mode), "PNG")
        assert not is_refused(data)
        assert [size for size in range(len(data)) if not is_refused(data[:size])] == []
        for position in range(len(data)):
            changed = bytearray(data)
            changed[position] ^= 1 << position % 8
            assert is_refused(bytes(changed)), (mode, position)


def test_any_later_change_of_a_byte_is_caught_by_digest(tmp_path: Path) -> None:
    data = jpeg("smooth")
    corpus = write_corpus(tmp_path / "corpus", [Record("a", {"image": data})])
    make_shards(tmp_path / "made", corpus, LocalStore.open(tmp_path / "store"), prepare={"image": {}})
    assert verify(tmp_path / "made") == []
    row = {"uri": str(tmp_path / "source.jpg"), "offset": None, "length": None, "inline": None}
    row["sha256"] = hashlib.sha256(data).hexdigest()
    (tar,) = (tmp_path / "made" / "shards").iterdir()
    tar.chmod(0o644)
    whole = tar.read_bytes()
    start = whole.index(data)
    rng = np.random.default_rng(0)
    for position in [0, len(data) - 1, *rng.integers(0, len(data), 60).tolist()]:
        changed = bytearray(data)
        changed[position] ^= int(rng.integers(1, 256))
        (tmp_path / "source.jpg").write_bytes(changed)
        with pytest.raises(ChangedSource):
            read_source(tmp_path, "a", "image", row)
        tar.write_bytes(whole[:start] + changed + whole[start + len(data) :])
        with pytest.raises(CorruptArtifact, match="the image of 'a' is damaged"):
            ShardSet.open(tmp_path / "made").samples("train", [0])
    for position in (0, 300, start - 1, len(whole) - 1):  # headers and padding, which no reader of ours looks at
        tar.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        assert any("its SHA-256 is" in problem for problem in verify(tmp_path / "made"))


@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", "PCM_16"), ("WAV", "PCM_16"), ("OGG", "VORBIS")])
def test_long_sounds_are_decoded_in_blocks(kind: str, subtype: str) -> None:
    """Two minutes of two channels: 11.5 MB as they are kept; all at once they took 180 MB and more."""
    codec, prepare, data = MODALITIES["audio"].load(), MODALITIES["audio"].prepare(rate_hz=24_000), silence(kind, subtype, 120 * 48_000, 2)
    tracemalloc.start()
    encoded = codec.encode(data, prepare)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert encoded.stats["samples"] == 120 * 24_000
    assert peak < 90e6


def test_what_is_longer_than_any_word_is_taken_apart_for_learning_and_all_else_is_left_whole() -> None:
    """A tokenizer takes minutes to learn from one word of 900 kB."""
    for text in ("a" * 5500, "<" * 2000 + "b" * 2000, "ﷺ" * 3000, " " * 1500):
        pieces = list(_first_bytes(iter([text.encode()]), 1_000_000))
        assert "".join(pieces) == text
        assert max(map(len, pieces)) <= 1000
    plain = "Words of any usual length, " * 500
    assert list(_first_bytes(iter([plain.encode()]), 1_000_000)) == [plain]
