"""`tasks.modalities.fingerprint`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tasks.errors import FingerprintMismatch, InputError
from tasks.modalities import MODALITIES
from tasks.modalities.config import ImagePrepare, TextPrepare
from tasks.modalities.fingerprint import check_fingerprint, codec_fingerprint, codec_versions

ALL = {name: entry.prepare() for name, entry in MODALITIES.items()}
ROOT = Path(__file__).parents[3]


def test_it_is_the_same_in_another_process_and_needs_no_torch() -> None:
    code = (
        "import sys; from tasks.modalities import MODALITIES as M; from tasks.modalities.fingerprint import codec_fingerprint as f; "
        "print(f({n: e.prepare() for n, e in M.items()}), 'torch' in sys.modules, 'ray' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [codec_fingerprint(ALL), "False", "False"]


def test_it_depends_on_the_modalities_and_their_configs_and_not_on_their_order() -> None:
    text, image = TextPrepare(), ImagePrepare()
    found = [
        codec_fingerprint({"text": text}),
        codec_fingerprint({"image": image}),
        codec_fingerprint({"text": text, "image": image}),
        codec_fingerprint({"text": text, "image": ImagePrepare(size=(20, 20))}),
    ]
    assert len(set(found)) == 4
    assert codec_fingerprint({"image": image, "text": text}) == found[2]


def test_a_filter_that_leaves_probes_out_is_no_failure() -> None:
    assert len(codec_fingerprint({"image": ImagePrepare(min_side=60_000)})) == 64


def test_an_unknown_modality_is_an_error_with_the_closest_name() -> None:
    with pytest.raises(InputError, match="did you mean 'image'"):
        codec_fingerprint({"imge": ImagePrepare()})


def test_a_worker_that_agrees_may_write() -> None:
    check_fingerprint(codec_fingerprint(ALL), codec_versions(), ALL)


def test_a_worker_that_differs_names_both_fingerprints_and_the_versions() -> None:
    other = {**codec_versions(), "pillow": "1.0"}
    with pytest.raises(FingerprintMismatch, match=rf"{codec_fingerprint(ALL)[:16]}.*{'0' * 16}.*pillow 1\.0 there, .* here"):
        check_fingerprint("0" * 64, other, ALL)
    with pytest.raises(FingerprintMismatch, match="so the processors differ"):
        check_fingerprint("0" * 64, codec_versions(), ALL)


def test_every_codec_has_a_version() -> None:
    assert "absent" not in codec_versions().values()
