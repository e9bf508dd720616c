"""The door of exports: a version in a format that others read, scored again on its golden rows before it is offered.

To add a format, write `deploy/exports/<name>.py` with `WEIGHTS`, `write` and `rescore` of the `Format` shape, add a row to
`FORMATS`, and run `tests/laws/test_exports.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal, Protocol

from burnish.deploy.adapter import read_adapter
from burnish.deploy.bundle import CARD_FILE, Opened, OpenedText
from burnish.deploy.golden import read_golden
from burnish.errors import BurnishError, fail, nearest
from burnish.records.deployment import Deployment, Export, Golden
from burnish.store.durable import new_folder, write_json

FORMATS: Mapping[str, str] = {
    "safetensors": "merged",
    "adapter": "adapter",
    "gguf": "gguf",
    "onnx": "onnx",
}
RECORD = "export.json"


@dataclass(frozen=True, slots=True)
class Source:
    """A verified version and everything an exporter may need of it.

    `folder` is its bundle, `base_folder` gives the base of that digest where it is here. `weights` is the type that was
    asked for, `python` the interpreter of the environment that holds a converter.
    """

    deployment: Deployment
    opened: Opened | OpenedText
    folder: Path
    golden: tuple[Golden, ...]
    base_folder: Callable[[str], Path | None]
    weights: str
    python: Path
    announce: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rescored:
    """What the golden rows say of an export: the fields of Export of the same names."""

    rows: int
    same: int
    difference: float
    unit: Literal["nats a token", "probability", "logit"]
    limit: float
    tools: dict[str, str]
    parting: float | None = None


class Format(Protocol):
    """What every export module offers. `WEIGHTS` are the types of weights it can write, the default first."""

    WEIGHTS: Sequence[str]

    def write(self, source: Source, target: Path) -> str:
        """Write the files into an empty folder; a paragraph of the model card on how to load them.

        Raises: export-refused and the format's own codes.
        """
        ...

    def rescore(self, source: Source, target: Path) -> Rescored:
        """Read the files as their readers do and compare with the golden rows."""
        ...


def export_version(
    deployment: Deployment,
    opened: Opened | OpenedText,
    folder: Path,
    target: Path,
    *,
    format: str,
    weights: str | None,
    python: Path,
    base_folder: Callable[[str], Path | None],
    announce: Callable[[str], None],
    at: str,
) -> Export:
    """Write a version to a new folder in a format of `FORMATS`, read it again, and publish it if it answers the same.

    `weights` is one of the format's types, None its default. Golden rows and the task stay here: nothing of the data leaves.

    Raises: export-format-unknown, export-exists, export-refused, export-differs, export-missing-extra,
        converter-missing, converter-failed, disk-full, not-writable.
    """
    chosen = _format_of(format)
    if weights is not None and weights not in chosen.WEIGHTS:
        raise fail(
            "export-format-unknown",
            f'{format} has no weights of type "{weights}"',
            where="--weights",
            expected=f"one of: {', '.join(chosen.WEIGHTS)}",
            fix="leave it out for the first of these",
            nearest=nearest(weights, chosen.WEIGHTS),
        )
    if target.exists():
        raise fail(
            "export-exists",
            "is there already",
            where=str(target),
            expected="a new name",
            fix="choose another name",
        )
    source = Source(
        deployment,
        opened,
        folder,
        read_golden(folder),
        base_folder,
        weights or chosen.WEIGHTS[0],
        python,
        announce,
    )
    adapter = read_adapter(folder)
    with new_folder(target) as staging:
        announce(f"writing {deployment.version} as {format}")
        how = chosen.write(source, staging)
        announce(f"asking it the {len(source.golden)} golden rows again")
        found = chosen.rescore(source, staging)
        record = Export(
            format=format,
            weights=source.weights,
            version=deployment.version,
            task_name=opened.task.name,
            bundle_id=opened.bundle.id,
            base=adapter.base if adapter is not None else None,
            rows=found.rows,
            same=found.same,
            difference=found.difference,
            unit=found.unit,
            limit=found.limit,
            parting=found.parting,
            tools=found.tools,
            at=at,
        )
        _refuse_other(record)
        write_json(staging / RECORD, record)
        card = (folder / CARD_FILE).read_text(encoding="utf-8")
        section = f"\n## This export\n\n{how}\n\n{told(record)}\n"
        (staging / CARD_FILE).write_text(card.rstrip("\n") + "\n" + section, encoding="utf-8")
    return record


def told(record: Export) -> str:
    """What the golden rows said, in a sentence."""
    text = (
        f"{record.same} of {record.rows} golden rows get the same answer; the largest difference is "
        f"{record.difference:.2g} {record.unit} (allowed: {record.limit:g})"
    )
    if record.parting is not None:
        text += (
            f"; where texts part, the model saw {record.parting:.2g} nats between the two tokens"
        )
    return f"{text}."


def refused(source: Source, format: str, *, takes: str) -> BurnishError:
    """The refusal of a version that the format cannot hold."""
    engine, kind = source.opened.bundle.engine, source.opened.task.kind
    return fail(
        "export-refused",
        f'{source.deployment.version} (engine "{engine}", kind "{kind}") cannot be written as {format}',
        expected=takes,
        fix="choose another --format, or another version: burnish deployments",
    )


def _format_of(name: str) -> Format:
    if name not in FORMATS:
        raise fail(
            "export-format-unknown",
            f'no format named "{name}"',
            where="--format",
            expected=f"one of: {', '.join(FORMATS)}",
            fix="give --format one of these",
            nearest=nearest(name, FORMATS),
        )
    module: Format = import_module(f"burnish.deploy.exports.{FORMATS[name]}")  # pyright: ignore[reportAssignmentType]
    return module


def _refuse_other(record: Export) -> None:
    """Refuse what answers otherwise: differences beyond the limit, or texts that part where the model was sure."""
    parting = record.parting if record.parting is not None else 0.0
    if record.difference <= record.limit and parting <= 2 * record.limit:
        return
    raise fail(
        "export-differs",
        f"as {record.format} ({record.weights}) the model answers otherwise: {told(record)}",
        expected=f"at most {record.limit:g} {record.unit}",
        fix="nothing was written; choose --weights of more bits, or another --format",
    )
