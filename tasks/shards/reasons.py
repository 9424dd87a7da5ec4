"""Why a record is not in the shards: every reason that the ledger may give, and what it says to a person.

In: nothing. Out: a closed set; a medium of the user's own may add reasons of its own, in the form `family/word`. A test holds this list
against the code.
"""

from __future__ import annotations

import re

FORM = re.compile(r"[a-z][a-z0-9_]*/[a-z][a-z0-9_]*")
"""Family, slash, word: what programs may rely on."""

REASONS = {
    "audio/corrupt": "the sound is damaged, or does not match its own checksum",
    "audio/empty": "there is no sound in it",
    "audio/format": "it is no sound of a format that is read",
    "audio/header": "its header contradicts itself or the file",
    "audio/max_seconds": "longer than the recipe asks for",
    "audio/min_seconds": "shorter than the recipe asks for",
    "audio/rate": "its rate cannot be stored in the format asked for",
    "audio/too_large": "over a limit of seconds, samples, rate or bytes",
    "audio/truncated": "the file ends too early",
    "decoder/crashed": "the decoder died at it, time and again; `medley shards retry` tries once more",
    "decoder/hung": "the decoder took too long; `medley shards retry` tries once more",
    "duplicate/exact": "another record has the same media and labels",
    "image/corrupt": "the picture is damaged",
    "image/empty": "the file has no bytes",
    "image/format": "it is no picture of a format that is read",
    "image/min_side": "smaller than the recipe asks for",
    "image/svg_entities": "the SVG declares entities, which can unfold without end or lead out of the file",
    "image/svg_external": "the SVG refers to something outside of its file",
    "image/svg_filter": "the SVG has a filter that takes minutes to draw",
    "image/svg_html": "the SVG holds HTML",
    "image/svg_script": "the SVG holds a script",
    "image/svg_size": "the SVG does not say how large it is",
    "image/too_large": "over a limit of pixels, shapes or bytes",
    "image/truncated": "the file ends too early",
    "label/unseen": "its label is in no training record",
    "record/no_modality": "it has no medium that the recipe prepares",
    "source/after_end": "the tar goes on after its end; stands for all that is there",
    "source/cut_off": "the tar is cut off or damaged there; stands for all that came after",
    "source/header": "a header in the tar is none that a packer writes; stands for all that came after",
    "source/kind": "in the tar it is a device, a pipe or of an unknown kind",
    "source/label": "the member that its labels, key or split are read from is damaged",
    "source/link": "in the tar it is a link, and links are not followed",
    "source/name": "its name in the tar is not UTF-8",
    "source/no_tar": "the file is no plain tar; stands for all that may be in it",
    "source/outside": "its name in the tar leads out of its folder",
    "source/sparse": "in the tar it is stored with holes",
    "source/twice": "the tar has two members of its name",
    "source/two_places": "its members are in two places of the tar",
    "source/unreadable": "its file could not be read when it was ingested",
    "text/empty": "no text is left after cleaning",
    "text/encoding": "it is not in the encoding that the recipe names",
    "text/min_chars": "shorter than the recipe asks for",
    "text/not_utf8": "it is not UTF-8",
    "text/stop_words": "it is made of stop words alone",
    "text/too_large": "over the limit of bytes",
}
"""Reason → what it means."""


def meaning(reason: str) -> str:
    """In words; of several reasons (`on_bad_member: drop` may give them) each once. Empty for reasons that are not ours."""
    return "; ".join(dict.fromkeys(REASONS[one] for one in reason.split("; ") if one in REASONS))
