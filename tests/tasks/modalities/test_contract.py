"""What every registered modality must do, found by itself for a new one."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tasks.contracts import Encoded
from tasks.errors import RecordError
from tasks.modalities import EXTENSIONS, MODALITIES, merge_all
from tasks.modalities.fingerprint import codec_versions
from tests.tasks.modalities import golden

NAMES = list(MODALITIES)
pytestmark = pytest.mark.parametrize("name", NAMES)


def encodings(name: str) -> list[Encoded]:
    modality = MODALITIES[name].load()
    return [modality.encode(probe, MODALITIES[name].prepare()) for probe in modality.probes()]


def test_probes_are_fixed_and_encode_the_same_each_time(name: str) -> None:
    modality = MODALITIES[name].load()
    assert list(modality.probes()) == list(modality.probes())
    assert encodings(name) == encodings(name)
    assert len(encodings(name)) >= 3


def test_extensions_fit_webdataset_and_sources(name: str) -> None:
    assert all(re.fullmatch(r"[a-z0-9]+", encoded.extension) for encoded in encodings(name))
    assert all(EXTENSIONS[extension] == name for extension in MODALITIES[name].extensions)


def test_statistics_are_integers_that_merge_in_any_order(name: str) -> None:
    stats = [encoded.stats for encoded in encodings(name)]
    merged = merge_all(stats)
    assert merged == merge_all(reversed(stats))
    assert merged["count"] == len(stats)
    assert merged["bytes"] == sum(len(encoded.data) for encoded in encodings(name))
    assert json.loads(json.dumps(merged)) == merged
    for value in merged.values():
        assert all(type(item) is int for item in (value if isinstance(value, list) else [value]))


def test_encoding_again_what_was_encoded_changes_nothing(name: str) -> None:
    modality = MODALITIES[name].load()
    for encoded in encodings(name):
        assert modality.encode(encoded.data, MODALITIES[name].prepare()).data == encoded.data


def test_bytes_change_only_with_the_version(name: str) -> None:
    stored = json.loads(golden.PATH.read_text())
    if stored["versions"] != codec_versions():
        pytest.skip(f"golden.json was made with other codecs: {stored['versions']}")
    assert golden.digests()[name] == stored["modalities"][name], (
        f"the bytes of {name} changed: raise its version in tasks.modalities.MODALITIES and run `python -m tests.tasks.modalities.golden`"
    )


def test_decoders_in_floating_point_agree_but_for_rounding(name: str) -> None:
    stored = {probe: parts for probe, parts in json.loads(golden.PATH.read_text())["sketches"].items() if probe.startswith(f"{name} ")}
    found = {probe: parts for probe, parts in golden.sketches().items() if probe.startswith(f"{name} ")}
    assert found.keys() == stored.keys()
    for probe, parts in stored.items():
        assert found[probe] == pytest.approx(parts, abs=0.5)


def test_members_become_tensors_and_absent_ones_zeros(name: str) -> None:
    entry, members = MODALITIES[name], encodings(name)
    modality = entry.load()
    fit = modality.fit(entry.fit(), merge_all(member.stats for member in members), lambda: (member.data for member in members))
    json.dumps(dict(fit.values))
    reader = modality.reader(entry.read(), fit)
    assert all(type(size) is int for size in reader.shape.values())
    values = [reader.read(member.data) for member in members]
    batch = reader.collate([values[0], None, *values[1:]])
    assert len(batch.values) == len(members) + 1
    assert batch.values.isfinite().all()
    assert not batch.values[1].any(), "an absent member is zeros"
    assert reader.collate([None, None]).values.shape[0] == 2
    if batch.lengths is not None:
        assert batch.lengths[1] == 1
        assert batch.lengths.min() >= 1
        assert batch.values.shape[1] == batch.lengths.max()
        assert batch.lengths.tolist() == [len(values[0]), 1, *(len(value) for value in values[1:])]


def test_implementation_and_reader_pickle_to_the_same(name: str) -> None:
    entry, members = MODALITIES[name], encodings(name)
    modality = pickle.loads(pickle.dumps(entry.load()))
    fit = modality.fit(entry.fit(), merge_all(member.stats for member in members), lambda: (member.data for member in members))
    reader = modality.reader(entry.read(), fit)
    twin = pickle.loads(pickle.dumps(reader))
    assert twin.shape == reader.shape
    assert all(np.array_equal(twin.read(member.data), reader.read(member.data)) for member in members)


def test_a_fit_of_nothing_gives_a_reader(name: str) -> None:
    entry = MODALITIES[name]
    modality = entry.load()
    reader = modality.reader(entry.read(), modality.fit(entry.fit(), {}, lambda: iter(())))
    reader.read(encodings(name)[0].data)


def test_damaged_bytes_are_refused_or_read_and_nothing_else(name: str) -> None:
    modality, prepare = MODALITIES[name].load(), MODALITIES[name].prepare()
    generator = np.random.default_rng(0)
    for probe in modality.probes():
        cut = [probe[: int(generator.integers(len(probe)))] for _ in range(12)]
        flipped = []
        for _ in range(25):
            damaged = bytearray(probe)
            for position in generator.integers(min(len(probe), 400), size=3):
                damaged[position] = int(generator.integers(256))
            flipped.append(bytes(damaged))
        for data in [b"", *cut, *flipped]:
            try:
                modality.encode(data, prepare)
            except RecordError as error:
                assert error.reason.startswith(f"{name}/")
                assert error.detail


def test_encoding_imports_neither_torch_nor_ray(name: str) -> None:
    code = (
        "import sys; from tasks.modalities import MODALITIES as M; "
        f"m = M[{name!r}].load(); [m.encode(p, M[{name!r}].prepare()) for p in m.probes()]; "
        "print(sorted({'torch', 'ray', 'pyarrow', 'scipy'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout.strip() == "[]"
