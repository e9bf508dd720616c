"""The task: what counts as right. Nothing about training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from burnish.records.decoding import Decoding
from burnish.records.record import Record, content_id

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,63}$"
# What the JSON objects of a file are: the names of the shapes in data/shape.py.
ShapeName = Literal[
    "plain",
    "label-studio",
    "label-studio-min",
    "prodigy",
    "argilla",
    "squad",
    "self-instruct",
    "chat",
]
KindName = Literal[
    "classification", "multilabel", "sentiment", "extractive-qa", "qa", "summarization", "chat"
]
CLOSED_KINDS: tuple[KindName, ...] = ("classification", "multilabel", "sentiment")
WRITING_KINDS: tuple[KindName, ...] = ("qa", "summarization", "chat")
FINDING_KINDS: tuple[KindName, ...] = ("extractive-qa",)


class LabelSpec(Record):
    """One label of the closed set: its name as models say it, what it means, other spellings to merge.

    `values` are the spellings in the data that mean this label ("1" for "spam"); the name itself
    always counts.
    """

    name: str = Field(min_length=1)
    description: str = ""
    values: tuple[str, ...] = ()


class Gate(Record):
    """A promise the model must keep before it may be promoted.

    Kinds: an absolute floor (`at_least`) or ceiling (`at_most`) on a metric, or a comparison with
    `than` ("majority", "tfidf", "live"): the paired difference must not be below `-margin`. When `sure`
    is true the interval's worse end counts, and without a margin it must lie on the better side of zero.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    than: str | None = None
    margin: float = 0.0
    sure: bool = False


class DataFiles(Record):
    """Where the rows are, relative to task.toml. `train` alone means Burnish splits; others are honoured.

    The fractions say how many of the rows become validation and test where no file is given. With the split "time"
    those are the newest by the column `time`. `licence` and `source` say what the rows may be used for and where they
    are from; the data card tells them.
    `shape` says what the objects of JSON files are, where looking at them says something else.
    `delimiter` and `encoding` are believed instead of a look at the files. With `repair_offsets` an answer that stands
    elsewhere in its context than its offset says is taken from the nearest place; without, its row is not used.
    """

    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    validation_fraction: float = Field(default=0.1, gt=0, lt=0.5)
    test_fraction: float = Field(default=0.1, gt=0, lt=0.5)
    split: Literal["random", "time"] = "random"
    time: str | None = None
    licence: str | None = None
    source: str | None = None
    shape: ShapeName | None = None
    delimiter: str | None = None
    encoding: str | None = None
    repair_offsets: bool = False


class Monitor(Record):
    """How a deployed model is watched.

    Windows are cut from the journal in the order of the answers, `window_rows` each, and each is tested once.
    `alpha` is the chance that a window without any drift raises a look, over all signals together.
    `embedded_rows` of a window (a random sample) go through the base model. `latency_p95_ms` and
    `error_fraction` are promises of your own: a look when surely broken. `webhook` is an http(s) address
    that hears of looks and acts.
    """

    window_rows: int = Field(default=500, ge=50, le=1_000_000)
    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    embedded_rows: int = Field(default=500, ge=50, le=10_000)
    latency_p95_ms: float | None = Field(default=None, gt=0)
    error_fraction: float | None = Field(default=None, ge=0, lt=1)
    webhook: str | None = Field(default=None, pattern=r"^https?://[^\s/]+")


class Retrain(Record):
    """When a model is trained again, what the new one must keep, and who may promote it.

    `schedule` is a cron line of five fields in UTC; `on_signals` names signals whose level starts a retraining;
    `on_labels` so many new labels do. Nothing starts within `cooldown_hours` of the last start, nor once
    `budget_minutes` of training were spent within 30 days.
    The margins say how much worse than the live model a candidate may be: the share of right rows in any slice,
    the calibration error, the milliseconds a row (as a ratio). With `promote = "policy"` a candidate that passed its
    gates is promoted after `shadow_rows` silent answers; `rollback_on` names signals that take the live version back:
    the audits when they say act, a promise (latency, errors) when it is surely broken.
    """

    start: Literal["base", "live"] = "base"
    schedule: str | None = None
    on_signals: tuple[str, ...] = ()
    on_labels: int | None = Field(default=None, ge=1)
    cooldown_hours: float = Field(default=24.0, ge=0)
    budget_minutes: float | None = Field(default=None, gt=0)
    slice_margin: float = Field(default=0.05, ge=0, le=1)
    calibration_margin: float = Field(default=0.02, ge=0, le=1)
    latency_ratio: float = Field(default=1.5, gt=0)
    promote: Literal["person", "policy"] = "person"
    shadow_rows: int = Field(default=200, ge=0)
    rollback_on: tuple[str, ...] = ()


class Normalise(Record):
    """Which differences between texts are none: rules applied, in this order, to every text the model is given.

    All are off by default: a task.toml without the table has always meant the text as it is, and its id, its
    bundles and their answers may not change. `data/normalise.py` says what each rule does.
    """

    html: bool = False
    mojibake: bool = False
    unicode: Literal["off", "NFC", "NFKC"] = "off"
    control: bool = False
    zero_width: bool = False
    whitespace: bool = False


# Not written while they are at their defaults, so that tasks without them keep the ids they always had.
_LATER: Mapping[str, object] = {
    "normalise": Normalise(), "instruction": "", "decoding": Decoding(), "truncate": None, "test_rows": 200,
}  # fmt: skip
# What happens around a model, not what counts as right: changing it makes no other task.
_AROUND = frozenset({"data", "test_rows", "audit", "keep_days", "redact", "monitor", "retrain"})
Redaction = Literal["email", "phone", "card", "iban", "ip", "national_id", "secret"]


class Task(Record):
    """What counts as right for one job.

    `labels` are in order for `sentiment` (worst first). `inputs` are the text columns, rendered in
    this order. `separator` splits several labels in one cell (`multilabel`). Answers with a confidence
    under `abstain_below` are marked as abstained. `audit` is the share of predictions, drawn at random, that
    people are asked to check. Of every request the journal keeps the text for `keep_days`, or only its
    hash, and never what `redact` names. `normalise` says which differences between texts are none.
    Kinds whose models write have no `labels`; `instruction` is what the model is told before each row, and
    `decoding` how it chooses its tokens. `truncate` says how prompts longer than the model reads are cut; without it they
    are refused. Writing takes seconds a row: at most `test_rows` of the test rows, drawn with the seed, are answered.
    """

    name: str = Field(pattern=NAME_PATTERN)
    kind: KindName
    inputs: tuple[str, ...] = Field(min_length=1)
    label: str
    labels: tuple[LabelSpec, ...] = ()
    separator: str = ","
    group: str | None = None
    guideline: str = ""
    instruction: str = ""
    decoding: Decoding = Decoding()
    truncate: Literal["left", "right", "window"] | None = None
    test_rows: int = Field(default=200, ge=20)
    primary_metric: str
    gates: tuple[Gate, ...] = ()
    slices: tuple[str, ...] = ()
    abstain_below: float | None = Field(default=None, gt=0, lt=1)
    audit: float = Field(default=0.0, ge=0, le=1)
    keep_inputs: Literal["full", "hash"] = "full"
    keep_days: int = Field(default=30, ge=1)
    redact: tuple[Redaction, ...] = get_args(Redaction)
    normalise: Normalise = Normalise()
    monitor: Monitor = Monitor()
    retrain: Retrain = Retrain()
    data: DataFiles | None = None

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = write(self)
        for name, default in _LATER.items():
            if getattr(self, name) == default:
                values.pop(name, None)
        return values

    @property
    def id(self) -> str:
        """Content hash of everything that decides what is right, the rules for texts included; files, monitoring
        and policies do not.
        """
        return content_id(self.model_dump(mode="json", exclude=set(_AROUND)))

    @property
    def is_closed(self) -> bool:
        """Whether the answer is among labels that are known before."""
        return self.kind in CLOSED_KINDS

    @property
    def writes(self) -> bool:
        """Whether the answer is a text that a model writes."""
        return self.kind in WRITING_KINDS

    @property
    def finds(self) -> bool:
        """Whether the answer is a piece of a context that a model finds."""
        return self.kind in FINDING_KINDS

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels' names in the task's order: the column order of every score matrix."""
        return tuple(label.name for label in self.labels)
