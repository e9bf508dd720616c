"""What a task.toml of the right shape may still get wrong: rules between its keys.

Works on plain TOML values, not on a Task, so that one misshapen key does not hide the problems of
the others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from burnish.errors import Problem, nearest
from burnish.tasks.cron import cron_problem
from burnish.tasks.encoding import known_encoding, near_encoding
from burnish.tasks.kind import KINDS
from burnish.tasks.lines import Path
from burnish.tasks.sense_decoding import decoding_problems

# What a gate may compare with: the baselines that always run, and the model that answers now; of kinds that answer with
# texts also the base as it is, prompted.
RIVALS = ("majority", "tfidf", "centroid", "knn", "live")
TEXT_RIVALS = ("lead", "retrieval", "sentence", "base", "base-3-shot", "live")

# What watching asks of every window: the monitor's signals by name.
SIGNALS = (
    "input_classifier", "input_mmd", "confidence", "label_mix", "abstain_rate", "traffic", "latency",
    "errors", "estimated_accuracy", "audited_accuracy",
)  # fmt: skip

# What may take a live version back without asking, and where the key stands without which it has nothing to
# say, with a sample of it. Drift may not: the version before would meet the same new world. Audited accuracy may,
# by its act: people found this version's answers wrong. Latency and errors may, where the task promises them and
# the promise is surely broken: they are counted, not inferred, and it is this version that is slow or fails.
MAY_ROLL_BACK: Mapping[str, tuple[str, str, str]] = {
    "audited_accuracy": ("", "audit", "0.01"),
    "latency": ("monitor", "latency_p95_ms", "200"),
    "errors": ("monitor", "error_fraction", "0.01"),
}

# A gate may also look at how honest the probabilities are; nobody trains for these alone.
CALIBRATION = ("ece", "brier")

# Not shares: in labels, in nats, from -1 to 1.
OPEN_SCALES = (
    "mean_absolute_label_error", "log_loss", "quadratic_weighted_kappa", "brier", "loss", "perplexity", "length_ratio",
)  # fmt: skip

# What quoting and lines are made of cannot part fields; half a character (a surrogate) parts nothing.
NO_DELIMITERS = frozenset('"\\\n\r\0\ufeff')

Found = tuple[Path, Problem]


@dataclass(frozen=True, slots=True)
class _Metrics:
    """The metric names that one key may take."""

    kind: str
    names: tuple[str, ...]
    default: str


def sense_problems(raw: Mapping[str, Any]) -> Iterator[Found]:
    """Every rule that the values break, each with the path of the key to look at."""
    kind = KINDS.get(raw["kind"]) if isinstance(raw.get("kind"), str) else None
    yield from _columns(raw)
    yield from _labels(raw)
    if kind is not None:
        yield from _of_kind(raw, closed=kind.answers == "labels")
    if raw.get("kind") == "multilabel":
        yield from _separator(raw)
    if kind is not None:
        known = _Metrics(raw["kind"], kind.metrics, kind.default_metric)
        yield from _metric(("primary_metric",), raw.get("primary_metric"), known)
    for place, gate in enumerate(_tables(raw.get("gates"))):
        path: Path = ("gates", place)
        if kind is not None:
            known = _Metrics(raw["kind"], (*kind.metrics, *CALIBRATION), kind.default_metric)
            yield from _metric((*path, "metric"), gate.get("metric"), known)
        closed = kind is None or kind.answers == "labels"
        yield from _gate(path, gate, rivals=RIVALS if closed else TEXT_RIVALS)
    yield from decoding_problems(raw)
    yield from _files(raw)
    yield from _around(raw)


def _of_kind(raw: Mapping[str, Any], *, closed: bool) -> Iterator[Found]:
    """Keys that this kind needs, or that would do nothing for it."""
    labels = raw.get("labels")
    if closed and labels is None:
        yield (
            ("labels",),
            Problem(
                code="task-missing-key",
                what='the key "labels" is missing',
                fix='add [[labels]] with name = "spam", once for each label',
            ),
        )
    elif closed and isinstance(labels, list) and len(labels) < 2:
        yield (
            ("labels",),
            Problem(
                code="task-bad-value",
                what=f"found {len(labels)} labels",
                expected="at least two labels",
                fix="add the others as [[labels]] with their names",
            ),
        )
    idle = _NOT_CLOSED if not closed else _NOT_OPEN
    if raw.get("kind") == "extractive-qa":
        idle = (*_NOT_CLOSED, *_NOT_OPEN, "normalise")
        yield from _context(raw)
    for key in idle:
        if raw.get(key) and raw[key] != _UNSAID.get(key):
            yield (
                (key,),
                Problem(
                    code="task-bad-value",
                    what=f'{key} does nothing for kind = "{raw["kind"]}"'
                    if key != "normalise"
                    else "rules for texts would move the offsets of the answers",
                    expected="keys that mean something for this kind",
                    fix=f"remove {key}, or change kind",
                ),
            )


_UNSAID = {"separator": ",", "test_rows": 200}  # what stands there when nobody said anything
_NOT_CLOSED = ("labels", "separator", "abstain_below")
_NOT_OPEN = ("decoding", "truncate", "test_rows")


def _context(raw: Mapping[str, Any]) -> Iterator[Found]:
    inputs = raw.get("inputs")
    if isinstance(inputs, list) and len(inputs) != 2:
        yield (
            ("inputs",),
            Problem(
                code="task-bad-value",
                what=f"found {len(inputs)} inputs",
                expected="two: the question, then the context that holds the answer",
                fix='write inputs = ["question", "context"]',
            ),
        )


def _columns(raw: Mapping[str, Any]) -> Iterator[Found]:
    label = raw.get("label")
    inputs: list[str] = []
    for place, column in _strings(raw.get("inputs")):
        if column == label and not (raw.get("kind") == "chat" and raw["inputs"] == [label]):
            yield (
                ("inputs", place),
                Problem(
                    code="task-bad-value",
                    what=f'the label column "{column}" is also an input',
                    expected="inputs that are known before the answer is",
                    fix=f'take "{column}" out of inputs',
                ),
            )
        if column in inputs:
            yield ("inputs", place), _twice("inputs", column)
        inputs.append(column)
    group = raw.get("group")
    if isinstance(group, str) and (group == label or group in inputs):
        yield (
            ("group",),
            Problem(
                code="task-bad-value",
                what=f'the group column "{group}" is also {"the label" if group == label else "an input"}',
                expected="a column that says which rows belong together",
                fix="name another column, or remove the key",
            ),
        )
    seen: set[str] = set()
    for place, column in _strings(raw.get("slices")):
        if column in seen:
            yield ("slices", place), _twice("slices", column)
        seen.add(column)


def _labels(raw: Mapping[str, Any]) -> Iterator[Found]:
    owners: dict[str, tuple[str, Path]] = {}
    for place, label in enumerate(_tables(raw.get("labels"))):
        name = label.get("name")
        if not isinstance(name, str):
            continue
        spoken: list[tuple[Path, str]] = [(("labels", place, "name"), name)]
        spoken += [
            (("labels", place, "values", at), value) for at, value in _strings(label.get("values"))
        ]
        for path, spelling in spoken:
            owner, owner_path = owners.setdefault(spelling, (name, path))
            if owner_path[1] == place:
                continue  # a label may list its own name among its values
            what = (
                f'a second label named "{name}"'
                if path[-1] == "name" and owner == name
                else f'"{spelling}" means label "{owner}" and label "{name}"'
            )
            yield (
                path,
                Problem(
                    code="task-duplicate-label",
                    what=what,
                    expected="each spelling to mean one label",
                    fix="remove it from one of the two",
                ),
            )


def _separator(raw: Mapping[str, Any]) -> Iterator[Found]:
    separator = raw.get("separator", ",")
    if not isinstance(separator, str):
        return
    if not separator:
        yield (
            ("separator",),
            Problem(
                code="task-bad-value",
                what="the separator is empty",
                expected='the text that stands between labels in one cell, such as ","',
                fix='write separator = ","',
            ),
        )
        return
    for place, label in enumerate(_tables(raw.get("labels"))):
        named = [("name", label.get("name"))]
        named += [("values", value) for _, value in _strings(label.get("values"))]
        for key, spelling in named:
            if not isinstance(spelling, str) or not spelling:
                continue
            if separator in spelling or spelling.strip() != spelling:
                yield (
                    ("labels", place, key),
                    Problem(
                        code="task-bad-value",
                        what=f'"{spelling}" can never be read from a cell split at "{separator}"',
                        expected="labels without the separator and without blanks around them",
                        fix="choose another separator, or another spelling",
                    ),
                )


def _gate(path: Path, gate: Mapping[str, Any], *, rivals: tuple[str, ...]) -> Iterator[Found]:
    bounds = [key for key in ("at_least", "at_most", "than") if key in gate]
    if not bounds:
        yield (
            path,
            Problem(
                code="task-bad-value",
                what="the gate asks for nothing",
                expected="at_least, at_most or than",
                fix="add for example at_least = 0.8",
            ),
        )
    than = gate.get("than")
    if isinstance(than, str) and than not in rivals:
        yield (
            (*path, "than"),
            Problem(
                code="task-bad-value",
                what=f'found than = "{than}"',
                expected=f"one of: {', '.join(rivals)}",
                fix="name one of these rivals",
                nearest=nearest(than, rivals),
            ),
        )
    for key in ("at_least", "at_most", "margin"):
        yield from _number((*path, key), gate.get(key), gate.get("metric"))
    low, high = gate.get("at_least"), gate.get("at_most")
    if _is_number(low) and _is_number(high) and low > high:
        yield (
            (*path, "at_least"),
            Problem(
                code="task-bad-value",
                what=f"at_least = {low} is above at_most = {high}",
                expected="a gate that can be passed",
                fix="swap the two, or drop one",
            ),
        )


def _number(path: Path, value: object, metric: object) -> Iterator[Found]:
    if not _is_number(value):
        return
    least, most = (-math.inf, math.inf) if metric in OPEN_SCALES else (0.0, 1.0)
    if path[-1] == "margin":
        least = 0.0
    if math.isfinite(value) and least <= value <= most:
        return
    expected = "a finite number" if most == math.inf else "a number from 0 to 1"
    mended = f"write {path[-1]} = {value / 100:g}" if 1 < value <= 100 else "correct the number"
    yield (
        path,
        Problem(
            code="task-bad-value",
            what=f"found {path[-1]} = {value}",
            expected=f"{expected}, not below 0" if path[-1] == "margin" else expected,
            fix=mended,
        ),
    )


def _metric(path: Path, metric: object, known: _Metrics) -> Iterator[Found]:
    if isinstance(metric, str) and metric not in known.names:
        yield (
            path,
            Problem(
                code="task-bad-value",
                what=f'found {path[-1]} = "{metric}"',
                expected=f'one of, for kind = "{known.kind}": {", ".join(known.names)}',
                fix=f'write for example {path[-1]} = "{known.default}"',
                nearest=nearest(metric, known.names),
            ),
        )


def _time(raw: Mapping[str, Any], data: Mapping[str, Any]) -> Iterator[Found]:
    column, by_time = data.get("time"), data.get("split") == "time"
    read = [raw.get("label"), *(name for _, name in _strings(raw.get("inputs")))]
    if by_time and column is None:
        what = 'split = "time" without the column of dates'
    elif column is not None and not by_time:
        what = f'time = "{column}" without split = "time"'
    elif by_time and column in read:
        what = f'"{column}" is an input or the label, it cannot be the time'
    else:
        return
    yield (
        ("data", "split" if by_time and column is None else "time"),
        Problem(
            code="task-bad-value",
            what=what,
            expected="a column of dates that the model does not read",
            fix='write for example split = "time" and time = "created_at"',
        ),
    )


def _asked(data: Mapping[str, Any]) -> Iterator[Found]:
    """What the person says about the files, which no look at them will overrule."""
    delimiter, encoding = data.get("delimiter"), data.get("encoding")
    if isinstance(delimiter, str) and (len(delimiter) != 1 or delimiter in NO_DELIMITERS):
        yield (
            ("data", "delimiter"),
            Problem(
                code="task-bad-value",
                what=f"found delimiter = {ascii(delimiter)[:40]}",
                expected="one character that is no quote, backslash, line end or NUL",
                fix='write for example delimiter = "^", or "\\t" for a tab',
            ),
        )
    if isinstance(encoding, str) and known_encoding(encoding) is None:
        yield (
            ("data", "encoding"),
            Problem(
                code="task-bad-value",
                what=f"found encoding = {ascii(encoding)[:60]}",
                expected="a text encoding such as utf-8, cp1252, utf-16, shift_jis",
                fix="correct the name, or remove the key to let the files be looked at",
                nearest=near_encoding(encoding),
            ),
        )


def _files(raw: Mapping[str, Any]) -> Iterator[Found]:
    data = raw.get("data")
    if not isinstance(data, Mapping):
        return
    if isinstance(data.get("train"), list) and not data["train"]:
        yield (
            ("data", "train"),
            Problem(
                code="task-bad-value",
                what="the list of training files is empty",
                expected="at least one file, relative to task.toml",
                fix='write for example train = ["tickets.csv"]',
            ),
        )
    yield from _time(raw, data)
    yield from _asked(data)
    seen: dict[str, str] = {}
    for split in ("train", "validation", "test"):
        for place, file in _strings(data.get(split)):
            if file in seen:
                yield (
                    ("data", split, place),
                    Problem(
                        code="task-bad-value",
                        what=f'"{file}" is named for {seen[file]} and again for {split}',
                        expected="each file once",
                        fix="remove it from one of the lists",
                    ),
                )
            seen.setdefault(file, split)


def _around(raw: Mapping[str, Any]) -> Iterator[Found]:
    """Watching, retraining and the journal."""
    seen: set[str] = set()
    for place, kind in _strings(raw.get("redact")):
        if kind in seen:
            yield ("redact", place), _twice("redact", kind, each="kind")
        seen.add(kind)
    for section in ("monitor", "retrain"):
        for key, value in _table(raw.get(section)).items():
            if isinstance(value, float) and not math.isfinite(value):
                yield (
                    (section, key),
                    Problem(
                        code="task-bad-value",
                        what=f"found {key} = {value}",
                        expected="a finite number",
                        fix="correct the number, or remove the key",
                    ),
                )
    retrain = _table(raw.get("retrain"))
    schedule = retrain.get("schedule")
    if isinstance(schedule, str) and (problem := cron_problem(schedule)):
        yield ("retrain", "schedule"), problem
    yield from _signals("on_signals", retrain, known=SIGNALS)
    yield from _signals("rollback_on", retrain, known=tuple(MAY_ROLL_BACK))
    for place, name in _strings(retrain.get("rollback_on")):
        if name not in MAY_ROLL_BACK:
            continue
        section, key, sample = MAY_ROLL_BACK[name]
        owner = _table(raw.get(section)) if section else raw
        if owner.get(key) not in (None, 0):
            continue
        under = f" under [{section}]" if section else ""
        yield (
            ("retrain", "rollback_on", place),
            Problem(
                code="task-bad-value",
                what=f'rollback_on names "{name}", which has nothing to say without {key}',
                expected=f"{key}{under}, so that the policy can act",
                fix=f"write for example {key} = {sample}{under}",
            ),
        )


def _signals(key: str, retrain: Mapping[str, Any], *, known: tuple[str, ...]) -> Iterator[Found]:
    seen: set[str] = set()
    for place, name in _strings(retrain.get(key)):
        if name in seen:
            yield ("retrain", key, place), _twice(key, name, each="signal")
        elif name not in known:
            what = f'{key} names "{name}"'
            if name in SIGNALS:
                what += ", which may raise a look but cannot take a version back"
            yield (
                ("retrain", key, place),
                Problem(
                    code="task-bad-value",
                    what=what,
                    expected=f"one of: {', '.join(known)}",
                    fix="name one of these signals",
                    nearest=nearest(name, known),
                ),
            )
        seen.add(name)


def _twice(key: str, column: str, *, each: str = "column") -> Problem:
    return Problem(
        code="task-bad-value",
        what=f'the {each} "{column}" stands twice in {key}',
        expected=f"each {each} once",
        fix="remove one of the two",
    )


def _tables(value: object) -> list[Mapping[str, Any]]:
    """The items as tables, an item of another type as an empty one, so that places stay right."""
    if not isinstance(value, list):
        return []
    return [item if isinstance(item, Mapping) else {} for item in value]


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _strings(value: object) -> list[tuple[int, str]]:
    if not isinstance(value, list):
        return []
    return [(place, item) for place, item in enumerate(value) if isinstance(item, str)]


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
