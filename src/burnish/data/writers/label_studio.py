"""Label Studio tasks with their annotations, as its JSON import takes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.data.sheet import Line, Sheet, write_list


def obstacles(sheet: Sheet) -> Iterator[tuple[str, str]]:
    """None: data and choices are any text."""
    return iter(())


def write(sheet: Sheet, to: Path) -> None:
    """A list of tasks: inputs and other columns as data, the label as one annotation of type choices.

    The control is named as the label column and belongs to the last input, so the labelling page needs
    <Text name="INPUT" value="$INPUT"/> and <Choices name="LABEL" toName="INPUT">.
    """
    write_list((_task(sheet, line, n) for n, line in enumerate(sheet.lines, start=1)), to)


def left_out(sheet: Sheet) -> tuple[str, ...]:
    """Nothing."""
    return ()


def _task(sheet: Sheet, line: Line, number: int) -> dict[str, object]:
    annotations = []
    if line.names is not None:
        choices = {
            "id": f"r{number}",
            "from_name": sheet.label,
            "to_name": sheet.inputs[-1],
            "type": "choices",
            "value": {"choices": list(line.names)},
        }
        result = [choices] if line.names else []
        annotations.append({"result": result, "was_cancelled": False, "ground_truth": False})
    return {"id": number, "data": {**line.inputs, **line.columns}, "annotations": annotations}
