"""A task.toml that people wrote, with a few keys added and everything else as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import InlineTable

from burnish.errors import BurnishError, fail
from burnish.records.task import Normalise, Task
from burnish.store.durable import write_file
from burnish.tasks.lines import Path as KeyPath
from burnish.tasks.lines import key_lines
from burnish.tasks.load import parse_task

_BOM = "\ufeff"


def amend_task(path: Path, wanted: Task) -> None:
    """Add to the file what `wanted` has beyond it: values of labels, rules of [normalise]. All of it, or nothing.

    Comments, order, line ends and a byte order mark stay. The file is replaced in one step, after the new text was
    read back as exactly `wanted`.

    Raises: task-not-amended, not-readable, and those of load_task and write_file.
    """
    try:
        whole = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _odd(path) from error
    text = whole.removeprefix(_BOM)
    windows = "\r\n" in text
    amended = amended_text(text.replace("\r\n", "\n"), wanted)
    try:
        same = parse_task(amended, name=path.name) == wanted
    except BurnishError:
        same = False
    if not same:
        raise _odd(path)
    if windows:
        amended = amended.replace("\n", "\r\n")
    if whole.startswith(_BOM):
        amended = _BOM + amended
    write_file(path, amended.encode("utf-8"))


def amended_text(text: str, wanted: Task) -> str:
    """The text with the missing values and rules put where a person would put them.

    Example:
        >>> from burnish.records.task import LabelSpec
        >>> text = '[[labels]]\\nname = "spam"  # junk\\n'
        >>> task = Task(name="t", kind="classification", inputs=("x",), label="y", primary_metric="accuracy",
        ...             labels=(LabelSpec(name="spam", values=("1",)), LabelSpec(name="ham")))
        >>> print(amended_text(text, task), end="")
        [[labels]]
        name = "spam"  # junk
        values = ["1"]
    """
    document = tomlkit.parse(text)
    lines = key_lines(text)
    # new keys are put in as lines: a key appended to a table lands below the comment of the next one
    below: list[tuple[KeyPath, str]] = []
    specs = {label.name: label for label in wanted.labels}
    tables: Any = document.get("labels", [])
    for place, table in enumerate(tables):
        values = specs[str(table["name"])].values if str(table.get("name")) in specs else ()
        there = [str(value) for value in table.get("values", ())]
        new = [value for value in values if value not in there]
        if not new:
            continue
        if "values" in table:
            for value in new:
                table["values"].append(tomlkit.string(value))
        elif isinstance(table, InlineTable):
            table["values"] = _array(values)
        else:
            below.append((("labels", place, "name"), f"values = {_array(values).as_string()}"))
    rules: Any = document.get("normalise")
    missing = _rules_beyond(wanted.normalise, rules or {})
    tail = ""
    if rules is None:
        tail = "".join(f"{key} = {value.as_string()}\n" for key, value in missing.items())
        tail = f"\n[normalise]\n{tail}" if tail else ""
    else:
        header = _is_header(text, lines, ("normalise",))
        for key, value in missing.items():
            if key in rules or not header:
                rules[key] = value
            else:
                below.append((("normalise",), f"{key} = {value.as_string()}"))
    # values of tables in place may have moved lines: count them again
    text = tomlkit.dumps(document)
    lines = key_lines(text)
    return _with_lines(text, [(lines[path], line) for path, line in below]) + tail


def _with_lines(text: str, below: list[tuple[int, str]]) -> str:
    """The text with each line put below the one of that number, indented like it."""
    rows = text.split("\n")
    for number, line in sorted(below, key=lambda pair: pair[0], reverse=True):
        above = rows[number - 1]
        rows.insert(number, above[: len(above) - len(above.lstrip())] + line)
    done = "\n".join(rows)
    return done if done.endswith("\n") else f"{done}\n"


def _rules_beyond(wanted: Normalise, there: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        name: getattr(wanted, name)
        for name, field in Normalise.model_fields.items()
        if getattr(wanted, name) != there.get(name, field.default)
    }
    return {name: tomlkit.item(value) for name, value in values.items()}


def _is_header(text: str, lines: Mapping[KeyPath, int], path: KeyPath) -> bool:
    """Whether a table begins with a [line] of its own."""
    return text.split("\n")[lines[path] - 1].lstrip().startswith("[")


def _array(values: tuple[str, ...]) -> Any:
    array = tomlkit.array()
    for value in values:
        array.append(tomlkit.string(value))
    return array


def _odd(path: Path) -> BurnishError:
    return fail(
        "task-not-amended",
        "the file changed meanwhile, or is written in a way that only a person can add to",
        where=path.name,
        expected="the task that the suggestion was made for",
        fix="burnish data check --suggest  (prints the lines: paste them)",
    )
