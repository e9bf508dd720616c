"""Instructions with their instances: an instruction, and a list of inputs with the output that belongs to each.

Source: the files of Self-Instruct (Wang et al. 2023): instruction, instances[].input, instances[].output.
"""

from __future__ import annotations

from collections.abc import Iterator

from burnish.data.json_cells import JsonObject, row_of
from burnish.data.rows import Row
from burnish.records.dataset import Rejection

title = "instructions with instances"


def fits(found: JsonObject) -> bool:
    """Whether the object has an instruction and a list of instances, each with its output."""
    instances = found.get("instances")
    return (
        "instruction" in found
        and isinstance(instances, list)
        and all(isinstance(one, dict) and "output" in one for one in instances)
    )


def rows(found: JsonObject, *, where: str) -> Iterator[Row | Rejection]:
    """A row for each instance: instruction, input, output, then the object's other keys and the instance's own."""
    instances = found["instances"]
    shared = {name: value for name, value in found.items() if name not in _OWN}
    held: list[JsonObject] = instances if isinstance(instances, list) else []
    for place, one in enumerate(held):
        fields: JsonObject = {
            "instruction": found["instruction"],
            "input": one.get("input", ""),
            "output": one["output"],
            **shared,
            **{name: value for name, value in one.items() if name not in ("input", "output")},
        }
        yield row_of(fields, where=f"{where}#instances[{place}]")


_OWN = ("instruction", "instances", "input", "output")
