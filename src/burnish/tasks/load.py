"""task.toml to Task: everything that is wrong with it at once, each thing with its line."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.records.decoding import Decoding
from burnish.records.task import DataFiles, Gate, LabelSpec, Monitor, Normalise, Retrain, Task
from burnish.tasks.lines import Path as KeyPath
from burnish.tasks.lines import key_lines
from burnish.tasks.sense import sense_problems
from burnish.tasks.spellings import listed

LARGEST_BYTES = 4_000_000  # a hundred thousand labels fit; a data file named by mistake does not

_MODELS: Mapping[str, type[BaseModel]] = {
    "labels": LabelSpec,
    "gates": Gate,
    "data": DataFiles,
    "normalise": Normalise,
    "decoding": Decoding,
    "monitor": Monitor,
    "retrain": Retrain,
}
_LISTS = ("labels", "gates")


def load_task(path: Path) -> Task:
    """Read task.toml and say everything that is wrong with it, in the order of its lines.

    Raises: task-missing, task-not-readable, task-bad-toml, and together task-unknown-key,
    task-missing-key, task-bad-value, task-duplicate-label.
    """
    return parse_task(_read(path), name=path.name)


def parse_task(text: str, *, name: str) -> Task:
    """The task that the text of a task.toml says; `name` is what its places are called.

    Raises: as `load_task`, without those about the file.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax(name, error, text) from error
    except RecursionError as error:
        raise fail(
            "task-bad-toml",
            "lists stand inside lists too deeply to read",
            where=name,
            expected="a task.toml as docs/define.md shows it",
            fix="burnish init FILE  (writes one for your data file)",
        ) from error
    lines = key_lines(text)
    task, shape = _shape(raw)
    found = [*shape, *sense_problems(raw)]
    if task is not None and not found:
        return task
    placed = sorted(
        ((_line(lines, key_path), problem) for key_path, problem in found),
        key=lambda pair: pair[0],
    )
    raise BurnishError(
        tuple(replace(problem, where=f"{name} line {line}") for line, problem in placed)
    )


def check_columns(
    task: Task, path: Path, columns: Sequence[str], *, file: str
) -> tuple[Problem, ...]:
    """Every column that task.toml names and the data file lacks, with the nearest it has.

    Slices are asked for as well: a report without the slice that was promised would be silent
    about it. `path` is task.toml, `file` the data file's name.
    """
    wanted: list[tuple[KeyPath, str]] = [
        *((("inputs", place), column) for place, column in enumerate(task.inputs)),
        (("label",), task.label),
        *([(("group",), task.group)] if task.group is not None else []),
        *((("slices", place), column) for place, column in enumerate(task.slices)),
        *(
            [(("data", "time"), task.data.time)]
            if task.data is not None and task.data.time is not None
            else []
        ),
    ]
    missing = [(key_path, column) for key_path, column in wanted if column not in columns]
    if not missing:
        return ()
    lines = key_lines(_read(path)) if path.is_file() else {}
    problems: list[Problem] = []
    for key_path, column in missing:
        key = key_path[-1] if isinstance(key_path[-1], str) else key_path[0]
        place = f" ({path.name} line {_line(lines, key_path)})" if lines else ""
        problems.append(
            Problem(
                code="column-missing",
                where=file,
                what=f'no column named "{column}", which {key} asks for{place}',
                expected=f"one of: {listed(list(columns))}",
                fix=f"correct {key} in {path.name}, or the file's first line",
                nearest=nearest(column, columns),
            )
        )
    return tuple(problems)


def _read(path: Path) -> str:
    if path.is_dir():
        raise fail(
            "task-not-readable",
            f'"{path.name}" is a folder',
            expected="a task.toml file",
            fix="name the file inside it",
        )
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError as error:
        raise fail(
            "task-missing",
            f'no file named "{path.name}" in {path.parent}',
            expected="a task.toml that says what counts as right",
            fix="burnish init FILE  (looks at your data file and writes it)",
        ) from error
    except OSError as error:
        raise fail(
            "task-not-readable",
            f'"{path.name}" cannot be read: {error.strerror}',
            fix="check the file's permissions",
        ) from error
    if len(data) > LARGEST_BYTES:
        raise fail(
            "task-not-readable",
            f'"{path.name}" is larger than {LARGEST_BYTES:,} bytes',
            expected="a task.toml, not a data file",
            fix="burnish init FILE  (writes a task.toml for a data file)",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise fail(
            "task-bad-toml",
            f"byte {error.start} is not UTF-8",
            where=f"{path.name} line {line}",
            expected="UTF-8 text, as TOML is",
            fix="save the file as UTF-8",
        ) from error
    return text.replace("\r\n", "\n")


def _syntax(name: str, error: tomllib.TOMLDecodeError, text: str) -> BurnishError:
    place = re.search(r"at line (\d+)", str(error))
    line = int(place[1]) if place else text.count("\n") + 1
    said = re.sub(r" \(at .*\)$", "", str(error))
    return fail(
        "task-bad-toml",
        said[:1].lower() + said[1:],
        where=f"{name} line {line}",
        expected='TOML, such as name = "tickets"',
        fix="correct that line; text stands in quotes, lists in [ ]",
    )


def _shape(raw: Mapping[str, Any]) -> tuple[Task | None, list[tuple[KeyPath, Problem]]]:
    """The task if every key has its type, else the keys that do not."""
    # JSON mode is the only strict mode that takes lists for tuples; dates become tables, which
    # no key accepts.
    document = json.dumps(raw, default=lambda value: {"date": str(value)})
    try:
        return Task.model_validate_json(document, strict=True), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    unknown = [item["loc"] for item in details if item["type"] == "extra_forbidden"]
    meant = {(*loc[:-1], nearest(str(loc[-1]), _known(loc))) for loc in unknown}
    found: list[tuple[KeyPath, Problem]] = []
    for item in details:
        # a misspelt key is one mistake, not an unknown key and a missing one
        if item["type"] == "missing" and item["loc"] in meant:
            continue
        # what is wrong inside the items is said there; they do count
        least = item.get("ctx", {}).get("min_length", 0)
        if item["type"] == "too_short" and len(item["input"]) >= least:
            continue
        found.append((item["loc"], _translated(item)))
    return None, found


def _known(loc: KeyPath) -> list[str]:
    model = _MODELS[str(loc[0])] if len(loc) > 1 else Task
    return list(model.model_fields)


def _translated(item: ErrorDetails) -> Problem:
    loc, value = item["loc"], item["input"]
    key = str(loc[-1]) if isinstance(loc[-1], str) else f"{loc[-2]}, item {int(loc[-1]) + 1}"
    section = str(loc[0])
    owner = f"[[{section}]]" if section in _LISTS else f"[{section}]"
    inside = f" in {owner}" if section in _MODELS and len(loc) > 1 else ""
    if item["type"] == "extra_forbidden":
        known = _known(loc)
        return Problem(
            code="task-unknown-key",
            what=f'unknown key "{key}"{inside}',
            expected=f"one of: {', '.join(known)}",
            fix="correct or remove the key",
            nearest=nearest(key, known),
        )
    if item["type"] == "missing":
        return Problem(
            code="task-missing-key",
            what=f'the key "{key}" is missing{inside}',
            fix=f"add {_sample(loc)}",
        )
    bare = item["type"] == "string_type" and isinstance(value, int | float)
    close = nearest(value, _choices(item)) if isinstance(value, str) else None
    return Problem(
        code="task-bad-value",
        what=f"found {key} = {_shown(value)}{inside}",
        expected=_wanted(loc, item),
        fix=f"write {json.dumps(json.dumps(value))}"
        if bare
        else f"write for example {_sample(loc)}",
        nearest=close,
    )


_SAMPLES: Mapping[str, str] = {
    "name": 'name = "tickets"',
    "kind": 'kind = "classification"',
    "inputs": 'inputs = ["text"]',
    "label": 'label = "intent"',
    "labels": '[[labels]] with name = "spam", once for each label',
    "labels.name": 'name = "spam"',
    "labels.description": 'description = "unwanted advertising"',
    "labels.values": 'values = ["1"]',
    "separator": 'separator = ","',
    "group": 'group = "customer"',
    "guideline": 'guideline = "If in doubt, choose ..."',
    "primary_metric": 'primary_metric = "macro_f1"',
    "gates": '[[gates]] with metric = "macro_f1" and at_least = 0.8',
    "gates.metric": 'metric = "macro_f1"',
    "gates.at_least": "at_least = 0.8",
    "gates.at_most": "at_most = 0.1",
    "gates.than": 'than = "majority"',
    "gates.margin": "margin = 0.0",
    "gates.sure": "sure = true",
    "instruction": 'instruction = "Summarise the conversation."',
    "decoding": "[decoding] with max_new_tokens = 128",
    "decoding.max_new_tokens": "max_new_tokens = 128",
    "decoding.temperature": "temperature = 0.0",
    "decoding.top_p": "top_p = 0.9",
    "decoding.beams": "beams = 4",
    "decoding.repetition_penalty": "repetition_penalty = 1.1",
    "decoding.stop": 'stop = ["User:"]',
    "decoding.seed": "seed = 0",
    "decoding.json_schema": """json_schema = '''{"type": "object"}'''""",
    "slices": 'slices = ["channel"]',
    "abstain_below": "abstain_below = 0.5",
    "audit": "audit = 0.01",
    "keep_inputs": 'keep_inputs = "full"',
    "keep_days": "keep_days = 30",
    "redact": 'redact = ["email", "phone"]',
    "normalise": '[normalise] with unicode = "NFC"',
    "normalise.html": "html = true",
    "normalise.mojibake": "mojibake = true",
    "normalise.unicode": 'unicode = "NFC"',
    "normalise.control": "control = true",
    "normalise.zero_width": "zero_width = true",
    "normalise.whitespace": "whitespace = true",
    "monitor": "[monitor] with window_rows = 500",
    "monitor.window_rows": "window_rows = 500",
    "monitor.alpha": "alpha = 0.01",
    "monitor.embedded_rows": "embedded_rows = 500",
    "monitor.latency_p95_ms": "latency_p95_ms = 200",
    "monitor.error_fraction": "error_fraction = 0.01",
    "monitor.webhook": 'webhook = "https://example.com/hook"',
    "retrain": "[retrain] with on_labels = 200",
    "retrain.start": 'start = "base"',
    "retrain.schedule": 'schedule = "0 3 * * 1"',
    "retrain.on_signals": 'on_signals = ["audited_accuracy"]',
    "retrain.on_labels": "on_labels = 200",
    "retrain.cooldown_hours": "cooldown_hours = 24",
    "retrain.budget_minutes": "budget_minutes = 600",
    "retrain.slice_margin": "slice_margin = 0.05",
    "retrain.calibration_margin": "calibration_margin = 0.02",
    "retrain.latency_ratio": "latency_ratio = 1.5",
    "retrain.promote": 'promote = "person"',
    "retrain.shadow_rows": "shadow_rows = 200",
    "retrain.rollback_on": 'rollback_on = ["audited_accuracy"]',
    "data": '[data] with train = ["tickets.csv"]',
    "data.train": 'train = ["tickets.csv"]',
    "data.validation": 'validation = ["validation.csv"]',
    "data.test": 'test = ["test.csv"]',
    "data.validation_fraction": "validation_fraction = 0.1",
    "data.test_fraction": "test_fraction = 0.1",
    "data.split": 'split = "time"',
    "data.time": 'time = "created_at"',
    "data.licence": 'licence = "cc-by-4.0"',
    "data.source": 'source = "https://example.com/tickets"',
    "data.shape": 'shape = "plain"',
    "data.delimiter": 'delimiter = ";"',
    "data.encoding": 'encoding = "cp1252"',
    "data.repair_offsets": "repair_offsets = true",
}

_TYPES: Mapping[str, str] = {
    "string_type": "text in quotes",
    "tuple_type": "a list in [ ]",
    "float_type": "a number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false, without quotes",
    "model_type": "a table of keys",
    "string_too_short": "text that is not empty",
}


def _sample(loc: KeyPath) -> str:
    words = [part for part in loc if isinstance(part, str)]
    return _SAMPLES.get(".".join(words), _SAMPLES.get(words[0], words[0]))


def _wanted(loc: KeyPath, item: ErrorDetails) -> str:
    if choices := _choices(item):
        return f"one of: {', '.join(choices)}"
    if item["type"] == "string_pattern_mismatch":
        return _PATTERNS[_leaf(loc)]
    if bounds := _bounds(loc):
        return bounds
    if item["type"] == "too_short":
        return "at least one column"
    return _TYPES.get(item["type"], item["msg"])


_PATTERNS: Mapping[str, str] = {
    "name": 'at most 64 of a-z, 0-9, ".", "_" and "-", the first a letter or digit',
    "webhook": "an address that begins with http:// or https://",
}
_WORDS: Mapping[str, str] = {"Ge": "at least", "Gt": "above", "Le": "at most", "Lt": "below"}


def _choices(item: ErrorDetails) -> list[str]:
    """The words that a key with fixed words takes; none for other mistakes."""
    if item["type"] != "literal_error":
        return []
    return re.findall(r"'([^']*)'", str(item.get("ctx", {}).get("expected", "")))


def _leaf(loc: KeyPath) -> str:
    *_, leaf = loc
    return str(leaf)


def _bounds(loc: KeyPath) -> str:
    """The whole range of a number's key, such as "a number above 0 and below 0.5"; "" for other keys."""
    model = _MODELS[str(loc[0])] if len(loc) > 1 and loc[0] in _MODELS else Task
    field = model.model_fields.get(_leaf(loc))
    if field is None or not field.metadata:
        return ""
    limits = [
        f"{_WORDS[type(limit).__name__]} {getattr(limit, type(limit).__name__.lower()):,g}"
        for limit in field.metadata
        if type(limit).__name__ in _WORDS
    ]
    whole = "a whole number" if field.annotation in (int, int | None) else "a number"
    return f"{whole} {' and '.join(limits)}" if limits else ""


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _line(lines: Mapping[KeyPath, int], path: KeyPath) -> int:
    """The line of the key, else of the nearest thing around it; a top-level key that is missing
    belongs below the last one there is.
    """
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return max(_root_lines(lines), default=1)


def _root_lines(lines: Mapping[KeyPath, int]) -> Iterator[int]:
    return (line for path, line in lines.items() if len(path) == 1 and path[0] not in _MODELS)
