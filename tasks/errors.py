"""What can go wrong inside a step.

    TaskError                    a step cannot go on; the message says what to do
    ├── InputError               the user's data or configuration is wrong (exit code 2)
    │   ├── SourceError          a source cannot be listed or read
    │   ├── LabelError           labels do not fit the heads or the splits
    │   └── TooManyBadRecords    more records are bad than the recipe allows
    ├── ChangedSource            a source file differs from what ingest recorded
    ├── FingerprintMismatch      this machine's codecs make other bytes than the plan was made for
    ├── CorruptArtifact          a stored artifact is missing a file or has other bytes than its index says
    ├── TrackingError            the MLflow server or its database cannot be used
    ├── StaleReport              a report compares with another version than the one now in force
    └── Stopped                  the run was asked to stop; what is finished is kept
    RecordError                  one record is bad; it is counted and the step goes on
    ├── BadMember                a member cannot be decoded, or is over a limit
    └── FilteredOut              a rule of the recipe leaves the record out

Every class takes plain strings only, so that each survives pickling: Ray carries them between processes.
"""

from __future__ import annotations


class TaskError(Exception):
    """A step cannot go on; the message says what was given, what is allowed and what to do next."""


class InputError(TaskError):
    """The user's data or configuration is wrong."""


class SourceError(InputError):
    """A source cannot be listed or read."""


class LabelError(InputError):
    """Labels do not fit the heads or the splits."""


class TooManyBadRecords(InputError):
    """More records are bad than the recipe allows."""


class ChangedSource(TaskError):
    """A source file differs from what ingest recorded."""


class FingerprintMismatch(TaskError):
    """This machine's codecs make other bytes than the plan was made for."""


class CorruptArtifact(TaskError):
    """A stored artifact is missing a file or has other bytes than its index says."""


class TrackingError(TaskError):
    """The MLflow server or its database cannot be used."""


class StaleReport(TaskError):
    """A report compares with another version than the one now in force."""


class Stopped(TaskError):
    """The run was asked to stop; what is finished is kept."""


class RecordError(Exception):
    """One record is bad; it is counted and the step goes on.

    `reason` is machine-readable (`image/truncated`); `detail` is a sentence for a person.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class BadMember(RecordError):
    """A member cannot be decoded, or is over a limit."""


class FilteredOut(RecordError):
    """A rule of the recipe leaves the record out; `reason` is the rule's name."""
