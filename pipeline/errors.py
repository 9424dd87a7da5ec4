"""What can go wrong around the steps.

    PipelineError
    ├── RecipeError        the recipe, an override or an argument is wrong; carries every problem found (exit code 2)
    ├── StoreError         the store cannot be read or written
    │   ├── Unsettled      a conditional put met another one that is not over
    │   └── Torn           what came down from a bucket is not what went up
    ├── RunError           one or more steps failed; what is finished is kept (exit code 1)
    ├── Busy               another process does what was asked for
    ├── NotFound           a run, step or artifact that was asked for does not exist (exit code 2)
    └── Shadowed           another module hides one of ours

Every class takes strings only, so that each survives pickling.
"""

from __future__ import annotations


class PipelineError(Exception):
    """The message says what was given, what is allowed and what to do next."""


class RecipeError(PipelineError):
    """The recipe, an override or an argument is wrong; `problems` holds one sentence each."""

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class StoreError(PipelineError):
    """The store cannot be read or written."""


class Unsettled(StoreError):
    """A conditional put met another one that is not over (409): worth another try."""


class Torn(StoreError):
    """What came down from a bucket is not what went up: worth another try."""


class RunError(PipelineError):
    """One or more steps failed; what is finished is kept."""


class Busy(PipelineError):
    """Another process does what was asked for."""


class NotFound(PipelineError):
    """A run, step or artifact that was asked for does not exist."""


class Shadowed(PipelineError):
    """Another module hides one of ours."""
