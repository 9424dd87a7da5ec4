"""What a recipe may say about varying each medium while a model trains (`augment` of a train step).

In: YAML. Out: frozen configs. Nothing is varied unless it is asked for: what leaves the meaning of one corpus alone (mirrored cats)
ruins another's (mirrored digits). Imports nothing heavy.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator, model_validator

from tasks.modalities.config import AudioRead, ImageRead
from tasks.registry import Config

Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=0.5, le=2)]
Decibels = Annotated[float, Field(ge=-60, le=60)]


class ImageAugment(Config):
    """How pictures are varied, in this order. Empty corners and erased places have the training split's mean colour."""

    crop: tuple[Share, Share] | None = None
    """Share of the picture's area, from and to, that is cut out at random and read in place of the picture; [0.6, 1] is usual."""
    stretch: float = Field(default=1.0, ge=1, le=4)
    """The cut's aspect ratio is the picture's times a factor between 1/stretch and stretch. Needs `crop`; 1.33 is usual."""
    flip: Share = 0.0
    """Chance to swap left and right. Not for pictures with writing in them."""
    rotate_degrees: float = Field(default=0.0, ge=0, le=180)
    """Turned by up to this angle, either way."""
    shift: float = Field(default=0.0, ge=0, lt=1)
    """Moved by up to this share of the width and of the height, either way."""
    brightness: Share = 0.0
    """Multiplied by a factor between 1 - brightness and 1 + brightness."""
    contrast: Share = 0.0
    """Blended with, or moved away from, its mean grey by such a factor."""
    saturation: Share = 0.0
    """Blended with, or moved away from, its grey version by such a factor."""
    hue: float = Field(default=0.0, ge=0, le=0.5)
    """Colours turned by up to this share of the colour circle, either way."""
    erase: Share = 0.0
    """Chance that a rectangle is erased (arXiv:1708.04896)."""
    erase_area: tuple[Share, Share] = (0.02, 0.2)
    """Share of the area, from and to, that an erased rectangle has."""

    @field_validator("crop", "erase_area")
    @classmethod
    def _areas(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and not 0 < value[0] <= value[1]:
            raise ValueError(f"a range of areas is [from, to], above 0 and rising, such as [0.6, 1], given {list(value)}")
        return value

    @model_validator(mode="after")
    def _some_change(self) -> ImageAugment:
        if self.stretch != 1 and self.crop is None:
            raise ValueError("stretch changes the shape of a cut; give `crop` too, such as [0.6, 1]")
        colours = (self.brightness, self.contrast, self.saturation, self.hue)
        _refuse_nothing((self.crop, self.flip, self.rotate_degrees, self.shift, *colours, self.erase), "{crop: [0.6, 1], flip: 0.5}")
        return self

    def problems(self, read: ImageRead) -> list[str]:
        """What cannot work on pictures that are read so."""
        names = [name for name in ("saturation", "hue") if getattr(self, name)]
        if read.channels == 1 and names:
            return [f"{', '.join(names)}: pictures are read in grey (`channels: 1` of `read`); leave this out, or read 3 channels"]
        return []


class AudioAugment(Config):
    """How sounds are varied: speed, noise and gain on the waveform, then masks on the features (SpecAugment)."""

    speeds: tuple[Factor, ...] = Field(default=(), max_length=32)
    """Played at one of these speeds, 0.5 to 2 in hundredths, each equally likely; pitch goes along. [0.9, 1, 1.1] is usual."""
    snr_db: tuple[Decibels, Decibels] | None = None
    """White noise so many decibels below the sound, from and to; [10, 30] is usual. Silence stays silent."""
    gain_db: tuple[Decibels, Decibels] | None = None
    """Made louder by so many decibels, from and to (negative = softer), then cut off at -1 and 1."""
    time_masks: int = Field(default=0, ge=0, le=100)
    """Stretches of time that are blanked out."""
    time_mask_seconds: float = Field(default=0.2, gt=0, le=60)
    """Longest of them; each length up to this is equally likely."""
    time_mask_share: float = Field(default=0.2, gt=0, le=1)
    """None is longer than this share of the sound."""
    frequency_masks: int = Field(default=0, ge=0, le=100)
    """Groups of neighbouring bands that are blanked out."""
    frequency_mask_bands: int = Field(default=8, ge=1, le=512)
    """Most bands in one; each number up to this is equally likely."""

    @field_validator("speeds")
    @classmethod
    def _hundredths(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        for speed in value:
            if abs(speed * 100 - round(speed * 100)) > 1e-6:
                raise ValueError(f"speeds are hundredths such as 0.95, given {speed}")
        return tuple(round(speed, 2) for speed in value)

    @field_validator("snr_db", "gain_db")
    @classmethod
    def _rising(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] > value[1]:
            raise ValueError(f"a range is [from, to], rising, given {list(value)}")
        return value

    @model_validator(mode="after")
    def _some_change(self) -> AudioAugment:
        _refuse_nothing(
            (self.speeds, self.snr_db, self.gain_db, self.time_masks, self.frequency_masks), "{speeds: [0.9, 1, 1.1], time_masks: 2}"
        )
        return self

    def problems(self, read: AudioRead) -> list[str]:
        """What cannot work on sounds that are read so."""
        if not self.frequency_masks:
            return []
        if read.features != "log_mel":
            return [f"frequency_masks: {read.features} has no bands to mask; leave this out, or set `features: log_mel` of `read`"]
        if self.frequency_mask_bands >= read.num_mels:
            return [f"frequency_mask_bands: {self.frequency_mask_bands} would blank out all of the {read.num_mels} bands; lower it"]
        return []


def _refuse_nothing(asked: tuple[object, ...], example: str) -> None:
    """ValueError when no change is asked for."""
    if not any(asked):
        raise ValueError(f"nothing is varied unless you say what: {example} is an example; leave the medium out to read it as it is")
