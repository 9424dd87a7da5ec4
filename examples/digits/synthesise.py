"""Makes voices/spoken_digits_synthetic.zip: the ten digits as two speech synthesisers say them.

In: the programs espeak-ng and flite. Out: one zip with a FLAC clip (8 kHz, mono) per digit, voice and variant, and `voices.json`,
which says of each clip what it is. The archive is committed, so running a recipe needs neither program; this file shows how it was
made and makes it again: the same versions of the programs and of libsndfile give the same bytes.

    python examples/digits/synthesise.py [ARCHIVE]
"""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

ARCHIVE = Path(__file__).parent / "voices" / "spoken_digits_synthetic.zip"
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

RATE_HZ = 8000
LEVEL = 0.06
"""Root mean square of each clip, full scale being 1: low enough that neither speech nor speech with as much noise is clipped."""
STEP = 64
"""Clips are rounded to multiples of this, so that FLAC stores 10 of the 16 bits. At LEVEL the rounding lies 41 dB below the
speech, and the recipe adds noise at 0 dB."""
SILENCE_DB = -35.0
"""Frames this far below the loudest are silence, and are cut from both ends."""
FRAME, MARGIN = 80, 160
"""10 ms frames; 20 ms stay around what is not silence."""

TIMBRES = {
    "en-us": ("m1", "f2", "Alex", "antonio", "robert", "grandma"),
    "en": ("m2", "f3", "Andy", "ed", "sandro", "linda"),
    "en-gb-scotland": ("m3", "f4", "Lee", "gustave", "travis", "shelby"),
    "en-029": ("m4", "f5", "Gene", "michel", "victor", "steph"),
    "en-gb-x-rp": ("m5", "klatt", "Jacky", "norbert", "Alicia", "zac"),
    "en-gb-x-gbclan": ("m6", "Marco", "paul", "Andrea"),
    "en-gb-x-gbcwmd": ("m7", "david", "Michael", "pedro", "Annie"),
    "en-us-nyc": ("f1", "edward", "Mike", "anika"),
}
"""Accent → timbres of espeak-ng 1.51 that speak it; no timbre speaks two. Timbres that differ from one of these in pitch, echo or
little else are left out, and so are whispers and robots. `en` is the British voice: asked for as `en-gb`, espeak-ng ignores timbres."""
ESPEAK_VARIANTS = ((150, 40), (190, 60))
"""Words a minute and pitch (0 to 99, 50 is the voice's own)."""
FLITE_VOICES = ("awb", "kal16", "rms", "slt")
FLITE_STRETCHES = (0.85, 1.0, 1.2)
"""Factors on durations. flite's pitch stays as it is: not every voice of it obeys a change."""


@dataclass(frozen=True)
class Clip:
    """One line of voices.json: what was said, by which voice, and with which options."""

    file: str
    digit: int
    text: str
    voice: str
    """Unit of splitting: all variants of speed and pitch are one voice."""
    variant: str
    language: str
    engine: str
    options: tuple[str, ...]


def main() -> None:
    """Speak every clip, and replace the archive in one move."""
    archive = Path(sys.argv[1]) if len(sys.argv) > 1 else ARCHIVE
    versions = {engine: installed_version(engine) for engine in ("espeak-ng", "flite")}
    clips = [*espeak_clips(), *flite_clips()]
    with ThreadPoolExecutor() as pool:
        sounds = list(pool.map(lambda clip: encode(tidy(*speak(clip))), clips))
    refuse_twins(clips, sounds)
    unfinished = archive.with_suffix(".partial")
    unfinished.write_bytes(pack(clips, sounds, versions))
    unfinished.replace(archive)
    voices = {clip.voice for clip in clips}
    print(f"{archive}: {len(clips)} clips of {len(voices)} voices, {archive.stat().st_size:,} bytes, made by {versions}")


def installed_version(engine: str) -> str:
    """What the program says its version is. Ends the script when the program is not installed."""
    if shutil.which(engine) is None:
        sys.exit(f"{engine} is not installed, and the archive needs both engines: apt-get install espeak-ng flite")
    said = subprocess.run([engine, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"(?:text-to-speech: |version: flite-)(\d[\w.]*)", said)
    if found is None:
        sys.exit(f"cannot tell the version of {engine} from what it says: {said.strip()!r}")
    return found.group(1)


def espeak_clips() -> Iterator[Clip]:
    """Speech made of formants."""
    voices = [(accent, timbre) for accent, timbres in TIMBRES.items() for timbre in timbres]
    for (accent, timbre), (speed, pitch), (digit, word) in product(voices, ESPEAK_VARIANTS, enumerate(WORDS)):
        voice, variant = f"espeak-{timbre.lower()}", f"speed{speed}-pitch{pitch}"
        options = ("-v", f"{accent}+{timbre}", "-s", str(speed), "-p", str(pitch), "-a", "60")
        language = "en-gb" if accent == "en" else accent
        yield Clip(f"clips/{voice}/{variant}/{digit}.flac", digit, word, voice, variant, language, "espeak-ng", options)


def flite_clips() -> Iterator[Clip]:
    """Speech joined or modelled from recordings of four people."""
    for name, stretch, (digit, word) in product(FLITE_VOICES, FLITE_STRETCHES, enumerate(WORDS)):
        voice, variant = f"flite-{name}", f"stretch{round(100 * stretch)}"
        options = ("-voice", name, "--setf", f"duration_stretch={stretch}")
        yield Clip(f"clips/{voice}/{variant}/{digit}.flac", digit, word, voice, variant, "en-us", "flite", options)


def speak(clip: Clip) -> tuple[np.ndarray, int]:
    """Samples (full scale is 1) and rate in Hz, as the engine says them."""
    if clip.engine == "espeak-ng":
        said = subprocess.run(["espeak-ng", *clip.options, "--stdout", clip.text], capture_output=True, check=True).stdout
        return read(io.BytesIO(said))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        subprocess.run(["flite", *clip.options, "-t", clip.text, "-o", str(path)], capture_output=True, check=True)
        return read(path)


def read(file: Path | io.BytesIO) -> tuple[np.ndarray, int]:
    """Samples and rate of a WAV file."""
    samples, rate_hz = soundfile.read(file)
    return samples, int(rate_hz)


def tidy(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """int16 at RATE_HZ, silence cut from both ends, level LEVEL."""
    common = math.gcd(RATE_HZ, rate_hz)
    samples = resample_poly(samples, RATE_HZ // common, rate_hz // common)
    num_frames = len(samples) // FRAME
    power = np.square(samples[: num_frames * FRAME]).reshape(num_frames, FRAME).mean(axis=1)
    loud = np.flatnonzero(power > power.max() * 10 ** (SILENCE_DB / 10))
    samples = samples[max(0, loud[0] * FRAME - MARGIN) : (loud[-1] + 1) * FRAME + MARGIN]
    samples = samples * (LEVEL / math.sqrt(np.square(samples).mean()))
    if np.abs(samples).max() >= 1:
        raise ValueError(f"a clip peaks at {np.abs(samples).max():.2f} of full scale after levelling; lower LEVEL (now {LEVEL})")
    return (np.rint(samples * 32768 / STEP) * STEP).clip(-32768, 32767).astype(np.int16)


def encode(samples: np.ndarray) -> bytes:
    """FLAC at its smallest."""
    flac = io.BytesIO()
    soundfile.write(flac, samples, RATE_HZ, format="FLAC", subtype="PCM_16", compression_level=1.0)
    return flac.getvalue()


def refuse_twins(clips: list[Clip], sounds: list[bytes]) -> None:
    """End the script when two clips are the same sound: in two splits, one of them would give the other away."""
    first: dict[bytes, Clip] = {}
    for clip, sound in zip(clips, sounds, strict=True):
        twin = first.setdefault(sound, clip)
        if twin is not clip:
            sys.exit(f"{clip.file} and {twin.file} are the same sound: the engine ignores {clip.options}; leave one voice or variant out")


def pack(clips: list[Clip], sounds: list[bytes], versions: dict[str, str]) -> bytes:
    """The zip: stored, not deflated, since FLAC does not shrink; one date for all members."""
    facts = {
        "what": "Synthetic speech: English digits said by speech synthesisers, not by people",
        "rate_hz": RATE_HZ,
        "engines": {
            "espeak-ng": {"version": versions["espeak-ng"], "licence": "program and voice data GPL-3.0-or-later"},
            "flite": {"version": versions["flite"], "licence": "program and voices free for any use (CMU, MIT-like with attribution)"},
        },
        "clips": [asdict(clip) for clip in clips],
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(facts, indent=None, separators=(",", ":"))
        archive.writestr(member("voices.json", zipfile.ZIP_DEFLATED), text)
        for clip, sound in zip(clips, sounds, strict=True):
            archive.writestr(member(clip.file, zipfile.ZIP_STORED), sound)
    return packed.getvalue()


def member(name: str, method: int) -> zipfile.ZipInfo:
    """A zip entry that says nothing about when or where it was made."""
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.compress_type = method
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info


if __name__ == "__main__":
    main()
