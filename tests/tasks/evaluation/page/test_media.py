from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from tasks.evaluation.page.media import MAX_AUDIO_BYTES, MAX_IMAGE_BYTES, preview
from tests.tasks.evaluation.example import picture, sound


def content(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def test_a_small_picture_is_shown_as_it_is() -> None:
    data = picture(3, 0)
    shown = preview("image", data)
    assert (shown.kind, shown.width, shown.height, shown.is_tiny) == ("image", 8, 8, True)
    assert shown.uri.startswith("data:image/png;base64,")
    assert content(shown.uri) == data


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "CMYK"])
def test_a_large_picture_is_scaled_down_and_says_so(mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (700, 900, len(Image.new(mode, (1, 1)).getbands())), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise.squeeze(), mode=None).convert(mode).save(out, "JPEG" if mode == "CMYK" else "PNG")
    shown = preview("image", out.getvalue())
    assert shown.note == "900 × 700 pixels, scaled down here"
    assert len(content(shown.uri)) < 2 * MAX_IMAGE_BYTES
    with Image.open(io.BytesIO(content(shown.uri))) as small:
        assert max(small.size) <= 384


def test_a_short_sound_is_kept_and_has_a_waveform() -> None:
    data = sound(4, 0)
    shown = preview("audio", data)
    assert content(shown.uri) == data
    assert shown.uri.startswith("data:audio/flac;")
    assert max(shown.wave) == 1.0
    assert shown.note == "0.70\u202fs at 16\u202fkHz"


def test_a_long_sound_is_cut_and_says_so() -> None:
    rate = 16_000
    out = io.BytesIO()
    soundfile.write(out, np.random.default_rng(0).normal(size=rate * 30) * 0.2, rate, format="WAV", subtype="PCM_16")
    shown = preview("audio", out.getvalue())
    assert "30.00\u202fs" in shown.note
    assert "the first" in shown.note
    assert len(content(shown.uri)) <= 1.05 * MAX_AUDIO_BYTES
    samples, played_rate = soundfile.read(io.BytesIO(content(shown.uri)))
    assert len(samples) / played_rate == pytest.approx(shown.duration_s)


def test_silence_has_a_flat_waveform() -> None:
    out = io.BytesIO()
    soundfile.write(out, np.zeros(800), 8000, format="WAV", subtype="PCM_16")
    assert set(preview("audio", out.getvalue()).wave) == {0.0}


def test_text_is_text_and_long_text_is_cut() -> None:
    assert preview("caption", "siete é".encode()).text == "siete é"
    assert len(preview("caption", b"x" * 5000).text) == 280


@pytest.mark.parametrize(
    "data", [b"\x89PNG\r\n\x1a\nnonsense", b"\xff\xd8\xff\xe0", b"fLaCxxxx", b"RIFF\x00\x00\x00\x00WAVE", b"\xff\xfe\x00\x01"]
)
def test_what_cannot_be_shown_is_named(data: bytes) -> None:
    shown = preview("sensor", data)
    assert shown.kind == "other"
    assert "cannot be shown here" in shown.note
