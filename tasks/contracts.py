"""What steps hand to each other: artifacts, context, store, records and batches.

In: nothing of ours. Out: the types every other room of `tasks` imports. Must not import ray, mlflow, torch (only for types),
or anything of `pipeline` and `cluster`. A task is a plain function

    def shard(config: ShardConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary

that writes files into the empty `output_dir`; whoever called it publishes that folder whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

FORMAT_VERSION = 1
"""Version of the artifacts' layout; stands in every manifest."""

SPLITS = ("train", "val", "test")

Json = Any
"""What `json.dumps` takes."""

Summary = dict[str, Json]


@dataclass(frozen=True)
class Artifact:
    """A published folder: what a finished step left in the store."""

    kind: str
    """corpus, shards, model, report, version or decision."""
    key: str
    """Hash of everything the artifact depends on, 64 hex digits."""
    path: Path
    summary: Summary = field(default_factory=dict)
    step: str = ""
    """Name of the step that made it, in the recipe at hand."""
    reference: str = ""
    """How it was asked for when it came from outside the recipe: `models:/digits@champion` resolved to `models:/digits/3`."""


Inputs = Mapping[str, Artifact]
"""Input name → artifact. An optional input that was not given is absent."""


class Store(Protocol):
    """The part of the store a task may use. Names are relative, with forward slashes. Pickles to workers."""

    @property
    def where(self) -> str:
        """What a person gives as `--store` to mean this store."""

    def read(self, name: str) -> bytes:
        """Bytes of an object; FileNotFoundError when absent."""

    def create(self, name: str, data: bytes) -> bool:
        """Create if absent, atomically and durably. False when it exists already, which then stays as it is."""

    def exists(self, name: str) -> bool: ...

    def list(self, prefix: str) -> list[str]:
        """Sorted names below a folder-like prefix; empty when there is none."""

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens when it is absent."""

    def scratch(self) -> Path:
        """A fresh path (not created) on the same file system, for `publish`."""

    def publish(self, path: Path, name: str) -> bool:
        """Fsync a finished scratch file or folder and move it to `name` in one step. False when `name` existed (scratch is removed)."""

    def local_path(self, name: str) -> Path:
        """Where an object lies as a local file, for hard links and `pread`."""


class StopSignal(Protocol):
    def is_set(self) -> bool:
        """True once the run was asked to stop. Cheap enough to be asked for each batch."""


class Sink(Protocol):
    """Where a task reports to while it runs."""

    def progress(self, done: float, total: float | None, unit: str, detail: str = "") -> None:
        """`done` of `total` units (records, steps); `detail` such as `loss 0.42`. Call as often as you like: it is throttled."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Curves: named values at a step count."""

    def note(self, message: str) -> None:
        """A sentence for the person who reads the run's log."""


@dataclass(frozen=True)
class Resources:
    """Where and how wide a step runs. Never enters a key."""

    workers: int = 0
    """Training processes; 0 trains inside the step's own process."""
    cpus: int = 1
    """CPU threads a training process uses."""
    gpus: int = 0
    """GPUs a training process uses."""
    data_tasks: int | None = None
    """Data tasks that run at once; None = as many as there are CPUs."""
    growing: bool = False
    """Nodes may still come that are not there yet: an autoscaler brings them when they are asked for."""


@dataclass(frozen=True)
class StepRecord:
    """One step of the run at hand, for lineage tags and the report's picture of the DAG."""

    name: str
    task: str
    key: str
    inputs: Mapping[str, str]
    """input name → step name or outside reference."""
    artifact: str = ""
    summary: Summary = field(default_factory=dict)
    status: str = ""


@dataclass(frozen=True)
class Lineage:
    """What the run at hand is; written into versions and reports, never part of a key."""

    recipe_name: str = ""
    recipe_text: str = ""
    run: str = ""
    code_revision: str = ""
    libraries: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[StepRecord, ...] = ()


@dataclass(frozen=True)
class Tracking:
    """Where MLflow is."""

    uri: str = ""
    """`sqlite:///…`, `http://…`; empty = no tracking."""
    artifact_root: str = ""
    """Where a sqlite tracking store puts artifacts; empty for servers, which decide themselves."""
    experiment: str = "medley"


@dataclass(frozen=True)
class TaskContext:
    """What a task needs from the run around it."""

    store: Store
    key: str
    step: str
    seed: int
    work_dir: Path
    """Belongs to this key and outlives crashes: checkpoints and other state to resume from. Removed after publishing."""
    sink: Sink
    stop: StopSignal
    resources: Resources = field(default_factory=Resources)
    tracking: Tracking = field(default_factory=Tracking)
    lineage: Lineage = field(default_factory=Lineage)
    local_ray: bool = True
    """Ray is our own single node, so that training inside this process is allowed."""
    code_dir: Path | None = None
    """The recipe's folder, where dotted paths to the user's own code are looked up last."""


# ---- data plane -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Locator:
    """Where the bytes of one member are: a file, a byte range of a file, or the bytes themselves."""

    uri: str = ""
    """Absolute path of a local file, or empty when `inline` holds the bytes. Relative = below the corpus artifact."""
    offset: int | None = None
    length: int | None = None
    """Byte range; both or neither."""
    inline: bytes | None = None
    size: int = 0
    """Bytes of the whole file when the source was listed."""
    mtime_ns: int = 0
    refused: str = ""
    """Reason, `family/word`, for which the source gives it up unread; it is counted as a bad record. Empty = it is read."""
    why: str = ""
    """The same in a sentence."""


@dataclass(frozen=True)
class SourceRecord:
    """One sample as its source lists it, before any medium is opened."""

    key: str
    """Unique in the corpus. Letters, digits, `_`, `-` and `/`; a source replaces other characters."""
    members: Mapping[str, Locator]
    """modality → where its bytes are. An absent modality is an absent entry."""
    labels: Mapping[str, str | float] = field(default_factory=dict)
    """label → category (str) or number (float)."""
    group: str = ""
    """Records of a group never part: the unit of splitting and of resampling. Empty = the key."""
    split: str = ""
    """train, val or test when the source says so; empty = by hash of the group."""
    partition: str = "default"


@dataclass(frozen=True)
class Encoded:
    """What sharding makes of one member."""

    extension: str
    """File extension inside the tar, without the dot: jpg, png, flac, wav, txt."""
    data: bytes
    stats: Mapping[str, Json] = field(default_factory=dict)
    """Mergeable integers: `min_*`/`max_*` merge by min/max, all else by addition (lists item by item)."""


@dataclass(frozen=True)
class Fit:
    """What was learned about one modality from the training split."""

    values: Mapping[str, Json] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    """file name → content, such as `tokenizer.json`."""


@dataclass
class ModalityBatch:
    """One modality of a batch. B samples; T time steps or tokens."""

    values: torch.Tensor
    """image float32 BCHW; audio float32 BTF; text int64 BT. Zeros where the sample lacks the modality."""
    lengths: torch.Tensor | None = None
    """int64 B: valid steps of T, at least 1; None when there is no time axis."""


@dataclass
class Batch:
    """What the loader hands to a model."""

    keys: list[str]
    inputs: dict[str, ModalityBatch]
    present: torch.Tensor
    """bool BM in the order of `modalities`."""
    modalities: tuple[str, ...]
    labels: dict[str, torch.Tensor]
    """category: int64 B (-1 = no label); number: float64 B (nan = no label)."""
    weight: torch.Tensor
    """float32 B; 0 marks padding."""
    epochs: list[int] = field(default_factory=list)
    """Which epoch of its set each sample is in, by which its random numbers go; empty outside training."""
    views: dict[str, dict[str, ModalityBatch]] = field(default_factory=dict)
    """View → the samples read once more, in training, as the policy wants them: the modalities it varies; the others are as in `inputs`."""


class Reader(Protocol):
    """Bytes of one modality to tensors. Thread-safe. Pickles."""

    shape: Mapping[str, int]
    """What an encoder must know: image `channels height width`; audio `features`; text `vocab_size max_tokens`."""

    def read(self, data: bytes) -> Any:
        """One member's bytes to one array."""

    def collate(self, values: Iterable[Any | None]) -> ModalityBatch:
        """Arrays of B samples to padded tensors; None = absent. What the loader passes are `tasks.modalities.readings.Readings`."""


class Augmenter(Protocol):
    """Reads as the modality's `Reader` does, but varied, for training alone. Made as `Mine(config, reader)`. Thread-safe. Pickles."""

    def read(self, data: bytes, seed: int) -> Any:
        """One member's bytes to an array that the reader collates.

        A pure function of both: what runs before, beside or on other workers changes nothing, so random numbers come from a
        generator made of `seed` and never from those that torch, numpy and Python share among threads.
        """


class Modality(Protocol):
    """One kind of medium. Configs are the classes listed beside it in `tasks.modalities.MODALITIES`."""

    def encode(self, data: bytes, prepare: Any) -> Encoded:
        """Source bytes to tar bytes: a pure function within one codec fingerprint. Raises BadMember or FilteredOut."""

    def probes(self) -> Iterator[bytes]:
        """Fixed inputs whose encodings make the codec fingerprint."""

    def fit(self, config: Any, stats: Mapping[str, Json], members: Callable[[], Iterator[bytes]]) -> Fit:
        """Learn from the training split: merged statistics, and the encoded members in plan order when needed."""

    def reader(self, config: Any, fit: Fit) -> Reader:
        """How encoded members become tensors."""
