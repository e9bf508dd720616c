"""What is answering, who said so, and what it answered."""

from __future__ import annotations

from typing import Literal

from burnish.records.record import Record
from burnish.records.report import Verdict

Stage = Literal["shadow", "live", "retired"]


class Golden(Record):
    """A row with what the bundle must reproduce before it may answer: the token ids it reads, and the probabilities of
    the labels; or the text it writes, its tokens, and how unlikely (nats) it finds them; or the piece of the context it
    finds, where, and how sure it is.
    """

    inputs: dict[str, str]
    ids: tuple[int, ...]
    probabilities: tuple[float, ...] = ()
    text: str | None = None
    answer_ids: tuple[int, ...] = ()
    surprise: float | None = None
    start: int | None = None
    confidence: float | None = None


class Bundle(Record):
    """A model folder ready to answer. `id` is the content hash of its files' SHA-256 digests and of
    this record without `id` and `at`: the same content has the same id, and the id proves the content.

    `engine` names who runs it: "transformers", "tfidf", "centroid", "knn", "majority", and for texts "writer", "span",
    "lead", "retrieval", "sentence". `verdict` is the
    gate's word on the report; None when the task has no gates.
    """

    id: str
    task_name: str
    task_id: str
    engine: str
    run_id: str | None
    dataset_id: str
    report_id: str
    precision: Literal["fp32", "bf16"]
    max_tokens: int
    verdict: Verdict | None = None
    at: str


class Adapter(Record):
    """What the adapter of a bundle stands on: the base's name and the digest of its files."""

    base: str
    base_sha256: str


class Export(Record):
    """A model that left: what of it, in which format, and how it answers the golden rows after the change of format.

    `same` of `rows` golden rows get the same answer. `difference` is the largest, in `unit`, and `limit` what was allowed.
    `parting` is the widest gap, in nats, that the model saw between its own token and the one said instead, over rows that part;
    None where all answers are the same, or are no texts. `tools` are the versions that made and read it.
    """

    format: str
    weights: str
    version: str
    task_name: str
    bundle_id: str
    base: str | None
    rows: int
    same: int
    difference: float
    unit: Literal["nats a token", "probability", "logit"]
    limit: float
    parting: float | None
    tools: dict[str, str]
    at: str


class Deployment(Record):
    """One version of one task in one stage. `version` is "name-1", "name-2", ...; `sequence` is the
    ledger's number, which servers follow. `verdict` is the gate's word at the time; `forced` says that
    a person overruled it, with the reason in `because`.
    """

    version: str
    task_name: str
    bundle_id: str
    engine: str
    run_id: str | None
    report_id: str
    verdict: Verdict | None = None
    forced: bool = False
    stage: Stage
    replaces: str | None
    by: str
    because: str
    at: str
    sequence: int


class Prediction(Record):
    """One answer. `confidence` is the calibrated probability of `label` (multilabel: of the least sure
    yes/no); `scores` has one probability per label of the task. `audit` marks one drawn at random for people to
    check. `inputs` are None when only their hash is kept, or when their time has run out, and so is `text`.

    Of kinds that answer with a text, `text` is the answer and `labels` are empty; `confidence` is the probability that
    the model gives exactly this answer (0 where nobody knows), and `scores` count tokens: "prompt_tokens",
    "completion_tokens", "finished" (1, or 0 where the limit ended it), and "start" of a piece of a context.
    """

    id: str
    version: str
    input_id: str
    inputs: dict[str, str] | None
    labels: tuple[str, ...]
    confidence: float
    scores: dict[str, float]
    text: str | None = None
    dropped_characters: int = 0
    latency_ms: float
    audit: bool = False
    at: str


class Feedback(Record):
    """What a person said about one prediction: the right labels, or only that it was right or wrong.

    `labels` are None when only `right` was said; with labels, `right` says whether they are the prediction's. Of kinds
    that answer with a text `text` is the right one ("" for "no answer" of an extractive question) and `labels` are None;
    an answer may be right and another text still better.
    `chosen` is "random" when the prediction had been drawn for an audit, else "disputed": people report what
    strikes them, and rows chosen so may only be trained on. `inputs` is the text again, needed when the journal
    keeps only hashes. The same person saying the same again is the same feedback: `id` is the content's.
    """

    id: str
    prediction_id: str
    right: bool
    labels: tuple[str, ...] | None
    text: str | None = None
    by: str
    chosen: Literal["random", "disputed"]
    inputs: dict[str, str] | None = None
    at: str
