"""A folder of text files for each label, under a folder for each split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.data.sheet import Sheet
from burnish.store.durable import new_folder

LONGEST_NAME_BYTES = 255


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """More than one input or label in a row, and labels that cannot be the name of a folder."""
    if len(sheet.inputs) > 1:
        yield "the inputs", f"{len(sheet.inputs)} of them, and a file holds one text"
    if sheet.several:
        yield "the labels", "a row may have several, and a file stands in one folder"
    for name in sheet.options:
        if told := _no_folder(name):
            yield "the labels", f'"{name}" {told}'
    for line in sheet.lines:
        if line.names is None:
            yield line.where, "has no label, so there is no folder for it"


def write(sheet: Sheet, to: Path) -> None:
    """SPLIT/LABEL/000001.txt: numbered in the dataset's order, UTF-8, nothing added.

    A split's folder is read as it is ([data] train = ["rows/train"]); the manifest stands outside it.
    """
    digits = max(6, len(str(len(sheet.lines))))
    with new_folder(to) as staging:
        for number, line in enumerate(sheet.lines, start=1):
            label = line.names[0] if line.names else ""
            place = staging / line.split / label
            place.mkdir(parents=True, exist_ok=True)
            text = next(iter(line.inputs.values()))
            # a mark of byte order is taken for one when the file is read: a text's own needs another before it
            mark = "\ufeff" if text.startswith("\ufeff") else ""
            (place / f"{number:0{digits}}.txt").write_bytes((mark + text).encode())


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Every column beside the text and the label; the split is in the path."""
    marked = len({line.split for line in sheet.lines}) > 1
    return sheet.columns[:-1] if marked else sheet.columns


def _no_folder(name: str) -> str | None:
    if name in (".", "..") or "/" in name or name.startswith("."):
        return 'cannot be a folder\'s name: it begins with "." or holds "/"'
    if len(name.encode("utf-8", "replace")) > LONGEST_NAME_BYTES:
        return f"is longer than the {LONGEST_NAME_BYTES} bytes of a folder's name"
    return None
