"""Task to task.toml: a file that a person likes to read and to edit."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Array, Table
from tomlkit.toml_document import TOMLDocument

from burnish.records.record import Record
from burnish.records.task import DataFiles, Gate, LabelSpec, Task
from burnish.store.durable import write_text
from burnish.tasks.schema import NOTES

LINE = 96
MANY_LABELS = 12  # beyond, an empty description for each label is noise, not an invitation


def write_task(task: Task, path: Path) -> None:
    """Write task.toml, commented, durably; `load_task` gives the same task back.

    Raises: disk-full, not-writable.
    """
    write_text(path, task_text(task))


def task_text(task: Task) -> str:
    """The text of task.toml: keys in the order people ask, each group with its comment.

    Example:
        >>> labels = (LabelSpec(name="ham"), LabelSpec(name="spam", values=("1",)))
        >>> task = Task(name="mail", kind="classification", inputs=("text",), label="y",
        ...             labels=labels, primary_metric="accuracy")
        >>> print(task_text(task).splitlines()[2])
        name = "mail"
    """
    document = tomlkit.document()
    _say(document, "What counts as right. Change anything; docs/define.md explains every key.")
    document.add(tomlkit.nl())
    document.add("name", tomlkit.string(task.name))
    _say(document, NOTES["kind"])
    document.add("kind", tomlkit.string(task.kind))
    document.add(tomlkit.nl())
    _say(document, NOTES["inputs"])
    document.add("inputs", _strings(task.inputs))
    _say(document, NOTES["label"])
    document.add("label", tomlkit.string(task.label))
    _optional(document, task)
    document.add(tomlkit.nl())
    _say(document, NOTES["primary_metric"])
    document.add("primary_metric", tomlkit.string(task.primary_metric))
    if task.data is not None:
        document.add(tomlkit.nl())
        document.add("data", _data(task.data))
    for section in _sections(task):
        document.add(tomlkit.nl())
        _say(document, NOTES[section])
        _section(document, section, getattr(task, section))
    if not task.is_closed:
        return tomlkit.dumps(document).rstrip("\n") + "\n" + _gates(task)
    document.add(tomlkit.nl())
    _say(document, NOTES["labels"])
    if any(label.values for label in task.labels):
        _say(document, f"values: {NOTES['labels[].values']}")
    labels = tomlkit.aot()
    bare = len(task.labels) > MANY_LABELS and not any(label.description for label in task.labels)
    for label in task.labels:
        labels.append(_label(label, describe=not bare))
    document.append("labels", labels)
    text = tomlkit.dumps(document).rstrip("\n") + "\n"
    return text + _gates(task)


def _sections(task: Task) -> tuple[str, ...]:
    """The sections that mean something for the task's kind."""
    if task.is_closed:
        return ("normalise", "monitor", "retrain")
    if task.kind == "extractive-qa":
        return ("monitor", "retrain")
    return ("decoding", "normalise", "monitor", "retrain")


def label_text(label: LabelSpec) -> str:
    """One label as its [[labels]] block.

    Example:
        >>> print(label_text(LabelSpec(name="spam", values=("1",))), end="")
        [[labels]]
        name = "spam"
        values = ["1"]
    """
    return "[[labels]]\n" + tomlkit.dumps(_label(label, describe=False))


def _optional(document: TOMLDocument, task: Task) -> None:
    if task.separator != "," or task.kind == "multilabel":
        _say(document, NOTES["separator"])
        document.add("separator", tomlkit.string(task.separator))
    _say(document, NOTES["group"])
    if task.group is None:
        document.add(tomlkit.comment('group = "customer"'))
    else:
        document.add("group", tomlkit.string(task.group))
    if task.slices:
        _say(document, NOTES["slices"])
        document.add("slices", _strings(task.slices))
    if task.instruction:
        _say(document, NOTES["instruction"])
        document.add(
            "instruction", tomlkit.string(task.instruction, multiline=_on_lines(task.instruction))
        )
    if task.guideline:
        _say(document, NOTES["guideline"])
        document.add(
            "guideline", tomlkit.string(task.guideline, multiline=_on_lines(task.guideline))
        )
    if task.abstain_below is not None:
        _say(document, NOTES["abstain_below"])
        document.add("abstain_below", task.abstain_below)
    _say(document, NOTES["audit"])
    if task.audit:
        document.add("audit", task.audit)
    else:
        document.add(tomlkit.comment("audit = 0.01"))
    for name in ("truncate", "test_rows", "keep_inputs", "keep_days", "redact"):
        if name in _changed(task):
            _say(document, NOTES[name])
            document.add(name, _value(getattr(task, name)))


# What a newcomer would want of a section: one form for equal texts, where looks are told, new labels becoming a
# new model.
_STARTERS = {
    "decoding": "max_new_tokens = 128",
    "normalise": 'unicode = "NFC"',
    "monitor": 'webhook = "https://example.com/hook"',
    "retrain": "on_labels = 200",
}


def _section(document: TOMLDocument, name: str, values: Record) -> None:
    """A table of what differs from the defaults; without such, the commented line to start from."""
    names = _changed(values)
    if not names:
        document.add(tomlkit.comment(f"[{name}]"))
        document.add(tomlkit.comment(_STARTERS[name]))
        return
    table = tomlkit.table()
    for key in names:
        table.add(key, _value(getattr(values, key)))
    document.add(name, table)


def _changed(values: Record) -> tuple[str, ...]:
    """The fields whose value is not the default, in the record's order."""
    fields = type(values).model_fields
    return tuple(name for name in fields if getattr(values, name) != fields[name].default)


def _value(value: object) -> Any:
    """A plain value as TOML has it, text and lists in the form every writer here uses."""
    if isinstance(value, str):
        return tomlkit.string(value)
    return _strings(value) if isinstance(value, tuple) else value


def _on_lines(text: str) -> bool:
    """Whether the text may stand on lines of its own; a TOML reader rewrites Windows line ends."""
    return "\n" in text and "\r" not in text


def _data(data: DataFiles) -> Table:
    table = tomlkit.table()
    table.comment(NOTES["data"])
    table.add("train", _strings(data.train))
    if data.validation:
        table.add("validation", _strings(data.validation))
    if data.test:
        table.add("test", _strings(data.test))
    for name in _changed(data):
        if name not in ("train", "validation", "test"):
            table.add(name, _value(getattr(data, name)))
    return table


def _label(label: LabelSpec, *, describe: bool) -> Table:
    table = tomlkit.table()
    table.add("name", tomlkit.string(label.name))
    if describe or label.description:
        table.add("description", tomlkit.string(label.description))
    if label.values:
        table.add("values", _strings(label.values))
    return table


def _gates(task: Task) -> str:
    """The gates and, where no absolute floor is set, a commented one to start from."""
    document = tomlkit.document()
    document.add(tomlkit.nl())
    _say(document, NOTES["gates"])
    if task.gates:
        gates = tomlkit.aot()
        for gate in task.gates:
            gates.append(_gate(gate))
        document.append("gates", gates)
    text = tomlkit.dumps(document)
    if any(gate.at_least is not None or gate.at_most is not None for gate in task.gates):
        return text
    floor = f'[[gates]]\nmetric = "{task.primary_metric}"\nat_least = 0.8\nsure = true\n'
    return text.rstrip("\n") + "\n\n" + "".join(f"# {line}\n" for line in floor.splitlines())


def _gate(gate: Gate) -> Table:
    table = tomlkit.table()
    table.add("metric", tomlkit.string(gate.metric))
    for key in ("at_least", "at_most"):
        value = getattr(gate, key)
        if value is not None:
            table.add(key, value)
    if gate.than is not None:
        table.add("than", tomlkit.string(gate.than))
        table.add("margin", gate.margin)
    elif gate.margin:
        table.add("margin", gate.margin)
    if gate.sure:
        table.add("sure", gate.sure)
    return table


def _say(document: TOMLDocument, words: str) -> None:
    for line in textwrap.wrap(words, LINE):
        document.add(tomlkit.comment(line))


def _strings(values: tuple[str, ...]) -> Array:
    array = tomlkit.array()
    for value in values:
        array.append(tomlkit.string(value))
    return array.multiline(sum(map(len, values)) + 4 * len(values) > LINE - 12)
