"""The codec fingerprint: what this machine's codecs make of a fixed set of probes.

In: the `prepare` configs of a recipe. Out: one hash. Two machines with one fingerprint write the same bytes for the same records,
whatever their library versions are called; a worker whose fingerprint differs from the plan's must not write. Needs the encoding
libraries only: no torch, and well below a second, since `medley plan` asks for it.
"""

from __future__ import annotations

import functools
import hashlib
import unicodedata
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from tasks.contracts import Modality
from tasks.errors import FingerprintMismatch, InputError, RecordError
from tasks.modalities import MODALITIES
from tasks.registry import Config, closest


def codec_fingerprint(prepare: Mapping[str, Config]) -> str:
    """64 hex digits over the encodings of every probe of these modalities, with the default and with the given `prepare`.

    Of the default's formats only those count that the given one accepts.
    """
    return _fingerprint(tuple(sorted(prepare.items())))


def check_fingerprint(expected: str, expected_versions: Mapping[str, str], prepare: Mapping[str, Config]) -> None:
    """What a worker calls before it writes. FingerprintMismatch names both fingerprints and the versions that differ."""
    found = codec_fingerprint(prepare)
    if found == expected:
        return
    versions = codec_versions()
    differing = [
        f"{name} {expected_versions.get(name, 'absent')} there, {versions.get(name, 'absent')} here"
        for name in sorted({*versions, *expected_versions})
        if versions.get(name) != expected_versions.get(name)
    ]
    because = "; ".join(differing) or "all library versions are the same, so the processors differ"
    raise FingerprintMismatch(
        f"the codecs here make other bytes (fingerprint {found[:16]}) than those of the plan ({expected[:16]}): {because}. "
        "Install the same versions on every machine, or plan on a machine like this one; "
        "formats that the corpus does not have can be left out of `accept`, and then their decoders need not agree."
    )


def codec_versions() -> dict[str, str]:
    """Versions of everything that decides encoded bytes, for messages and manifests; not part of the fingerprint."""
    import soundfile
    from PIL import features

    found = {name: _version(name) for name in ("ftfy", "numpy", "pillow", "resvg", "simplejpeg", "soundfile")}
    found |= {name: features.version(name) or "absent" for name in ("libjpeg_turbo", "littlecms2", "webp", "zlib")}
    return dict(sorted({**found, "libsndfile": soundfile.__libsndfile_version__, "unicode": unicodedata.unidata_version}.items()))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


@functools.lru_cache(maxsize=64)
def _fingerprint(prepare: tuple[tuple[str, Config], ...]) -> str:
    digest = hashlib.sha256()
    for name, config in prepare:
        if name not in MODALITIES:
            raise InputError(f"prepare has {name!r}; allowed: {', '.join(MODALITIES)}{closest(name, list(MODALITIES))}")
        entry = MODALITIES[name]
        modality = entry.load()
        default = _default(entry.prepare(), config)
        for chosen in (default,) if config == default else (default, config):
            digest.update(name.encode())
            for probe in modality.probes():
                digest.update(hashlib.sha256(_encoding(modality, probe, chosen)).digest())
    return digest.hexdigest()


def _default(default: Config, config: Config) -> Config:
    """The default `prepare`, but with the formats that the given one accepts: decoders that are never asked need not agree."""
    accept = getattr(config, "accept", None)
    return default if accept is None else default.model_copy(update={"accept": accept})


def _encoding(modality: Modality, probe: bytes, config: Config) -> bytes:
    """What a probe becomes; a refusal is an outcome too (a filter of the recipe may well leave a probe out)."""
    try:
        encoded = modality.encode(probe, config)
    except RecordError as error:
        return b"!" + error.reason.encode()
    return encoded.extension.encode() + b":" + encoded.data
