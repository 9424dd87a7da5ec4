"""The corpus of the recipe beside this file: handwritten digits, each with questions about it and their answers.

In: the digits that come with scikit-learn. Out: one record a question, pictures and questions written below the corpus. Pictures are dealt
to splits first, so that no picture that is asked about in test was ever seen in training; and test also asks in words that training never
used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_pairs import (
    NUM_PICTURES,
    PICTURE_BYTES,
    MediaFile,
    deal_pictures,
    digest,
    handwriting_file,
    png,
    read_handwriting,
    stream,
)
from grammar import ask, kinds_for
from pydantic import Field

from tasks import registry
from tasks.contracts import SourceRecord

if TYPE_CHECKING:
    from grammar import Question

HERE = Path(__file__).parent
CODE = ("question_corpus.py", "grammar.py", "digit_pairs.py")

PICTURE_SHARES = {"val": 0.1, "test": 0.25}
"""Of the pictures of each digit; the rest trains."""
QUESTIONS = 4
"""About each picture, of different kinds."""
QUESTION_BYTES = 25
"""Mean, for the estimate."""


class QuestionsSource:
    """Records with `image`, `text` and the labels `answer`, `kind` and `digit`. A group is a picture, a partition a wording."""

    class Config(registry.Config):
        format: str
        """`question_corpus:QuestionsSource`."""
        seed: int = Field(default=0, ge=0)
        """Of the splits and the questions."""

    def __init__(self, config: Config, base_dir: Path) -> None:
        self.config = config
        self.base_dir = base_dir

    def snapshot(self) -> dict[str, Any]:
        """A digest of everything the records are made from, and how many records and bytes they will be."""
        made_from = [*(HERE / name for name in CODE), handwriting_file()]
        num_records = NUM_PICTURES * QUESTIONS
        return {"digest": digest(made_from), "records": num_records, "bytes": num_records * (PICTURE_BYTES + QUESTION_BYTES)}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        """Write all media, then list the records, in the order of the splits and pictures. A picture is stored once."""
        import numpy as np

        seed = self.config.seed
        pictures, digits = read_handwriting()
        listed = []
        with ExitStack() as stack:
            image, text = (stack.enter_context(closing(MediaFile(output_dir, name))) for name in ("pictures.bin", "questions.txt"))
            for split, positions in deal_pictures(digits, PICTURE_SHARES, seed).items():
                for position in positions:
                    shown = image.add(png(np.rint(255 * pictures[position]).astype(np.uint8)))
                    for place, question in enumerate(questions(digits[position], split, position, seed)):
                        listed.append((split, position, place, digits[position], question, shown, text.add(question.text.encode())))
                        text.add(b"\n")
        for split, position, place, digit, question, shown, said in listed:
            yield SourceRecord(
                key=f"question-{position:04d}-{place}",
                members={"image": image.locator(shown), "text": text.locator(said)},
                labels={"answer": question.answer, "kind": question.kind, "digit": str(digit)},
                group=f"picture-{position:04d}",
                split=split,
                partition=question.wording,
            )


def questions(digit: int, split: str, position: int, seed: int) -> list[Question]:
    """What is asked about one picture; in test every other question is in held-out words."""
    random = stream(seed, "questions", position)
    kinds = random.permutation(kinds_for(digit))[:QUESTIONS]
    return [ask(digit, str(kind), random, held_out=split == "test" and place % 2 == 1) for place, kind in enumerate(kinds)]
