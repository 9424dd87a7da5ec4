"""Media: how each is checked, stored, learned from and read.

`MODALITIES` is the registry: the name a recipe uses → its configs, its implementation, its version and its file extensions.
Importing it imports no implementation. To add a medium: a file with a class that fulfils `tasks.contracts.Modality`, three
configs in `config.py` and a line here; the contract test finds it.
"""

from __future__ import annotations

from tasks.modalities.augment_config import AudioAugment, ImageAugment
from tasks.modalities.config import (
    AudioFit,
    AudioPrepare,
    AudioRead,
    ImageFit,
    ImagePrepare,
    ImageRead,
    TextFit,
    TextPrepare,
    TextRead,
)
from tasks.modalities.entry import ModalityEntry
from tasks.modalities.stats import merge_all, merge_stats
from tasks.registry import Entry

MODALITIES: dict[str, ModalityEntry] = {
    "image": ModalityEntry(
        ImagePrepare,
        ImageFit,
        ImageRead,
        "tasks.modalities.image:Image",
        version=2,
        extensions=("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "svg"),
        augment=Entry(ImageAugment, "tasks.modalities.image_augment:ImageAugmenter"),
    ),
    "text": ModalityEntry(
        TextPrepare,
        TextFit,
        TextRead,
        "tasks.modalities.text:Text",
        version=1,
        extensions=("txt",),
    ),
    "audio": ModalityEntry(
        AudioPrepare,
        AudioFit,
        AudioRead,
        "tasks.modalities.audio:Audio",
        version=1,
        extensions=("wav", "flac", "ogg", "oga", "opus", "mp3"),
        augment=Entry(AudioAugment, "tasks.modalities.audio_augment:AudioAugmenter"),
    ),
}

EXTENSIONS: dict[str, str] = {extension: name for name, entry in MODALITIES.items() for extension in entry.extensions}
"""File extension of a source → modality."""

__all__ = ["EXTENSIONS", "MODALITIES", "ModalityEntry", "merge_all", "merge_stats"]
