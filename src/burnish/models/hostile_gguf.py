"""A GGUF file's header, checked before any library acts on it: bounded, sound, and of a kind that is read right here.

The rules of the format are those of ggml's own description (docs/gguf.md there), little-endian, versions 2 and 3.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import BurnishError, fail, nearest
from burnish.models.hostile_files import open_regular

# What transformers' reader turns into the right model; tests/laws/test_gguf.py holds each to its original.
ARCHITECTURES = frozenset({"llama", "qwen2", "qwen3"})
# How a byte-level vocabulary splits text before merging; only those that we or transformers rebuild exactly.
SPLITS = frozenset({"gpt-2", "smollm", "llama-bpe", "llama3", "llama-v3", "qwen2", "tekken"})

MOST_GGUF_BYTES = 64_000_000_000
_MOST_FIELDS = 4_096
_MOST_TENSORS = 20_000
_MOST_KEY_BYTES = 1_024
_MOST_TEXT_BYTES = 1 << 20
_MOST_ITEMS = 4_000_000
_MOST_HEADER_BYTES = 256 << 20
_MOST_DIMENSIONS = 4
_MOST_ELEMENTS = 1 << 40
_MOST_ALIGNMENT = 1 << 16
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}  # fmt: skip
# Tensor types: (elements, bytes) of a block. Source: ggml's table of types; the rest (integers, ternary, and formats
# that no published model uses) are refused.
_BLOCKS = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    20: (32, 18),  # IQ4_NL
    23: (256, 136),  # IQ4_XS
    30: (1, 2),  # BF16
}
Value = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class GgufFacts:
    """What a sound header says. `fields` holds texts and numbers; of arrays only their lengths."""

    architecture: str
    fields: dict[str, Value]
    tensors: dict[str, tuple[int, ...]]
    elements: int


def check_gguf(path: Path) -> GgufFacts:
    """The facts of a GGUF file that is whole, bounded, and of an architecture and tokenizer that are read right.

    Raises: base-gguf-broken, base-gguf-unsupported, base-file-large, and the codes of `open_regular`.
    """
    with open_regular(path) as handle:
        size = handle.seek(0, 2)
        if size > MOST_GGUF_BYTES:
            raise fail(
                "base-file-large",
                f"is larger than {MOST_GGUF_BYTES} bytes",
                where=path.name,
                expected="a model that fits this machine",
                fix="choose a smaller base model",
            )
        if size < 32:
            raise _broken(path, f"has {size} bytes, too few for a header")
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                facts = _facts(path, data, size)
            except struct.error:
                raise _broken(path, "ends in the middle of its header") from None
    _check_kind(path, facts)
    return facts


def _facts(path: Path, data: mmap.mmap, size: int) -> GgufFacts:
    if data[:4] != b"GGUF":
        raise _broken(path, "does not begin as a GGUF file")
    version, tensor_count, field_count = struct.unpack_from("<IQQ", data, 4)
    if version not in (2, 3):
        raise _broken(path, f"is of version {version}, or of the other byte order")
    if field_count > _MOST_FIELDS:
        raise _broken(path, f"claims {field_count} fields (at most {_MOST_FIELDS})")
    if not 0 < tensor_count <= _MOST_TENSORS:
        raise _broken(path, f"claims {tensor_count} tensors (1 to {_MOST_TENSORS})")
    end = min(size, _MOST_HEADER_BYTES)
    at, fields = 24, dict[str, Value]()
    for _ in range(field_count):
        key, at = _text(path, data, at, end, most=_MOST_KEY_BYTES)
        if key in fields:
            raise _broken(path, f"has the field {ascii(key)[:80]} twice")
        (kind,) = struct.unpack_from("<I", data, at)
        fields[key], at = _value(path, data, at + 4, end, kind)
    alignment = fields.get("general.alignment", 32)
    if (
        type(alignment) is not int
        or not 0 < alignment <= _MOST_ALIGNMENT
        or alignment & (alignment - 1)
    ):
        raise _broken(path, f"has the alignment {str(alignment)[:40]}")
    tensors: dict[str, tuple[int, ...]] = {}
    spans: list[tuple[int, int, str]] = []
    elements = 0
    for _ in range(tensor_count):
        name, at = _text(path, data, at, end, most=_MOST_KEY_BYTES)
        if name in tensors:
            raise _broken(path, f"has the tensor {ascii(name)[:80]} twice")
        (dimensions,) = struct.unpack_from("<I", data, at)
        if not 0 < dimensions <= _MOST_DIMENSIONS:
            raise _broken(path, f"tensor {ascii(name)[:80]} has {dimensions} dimensions")
        shape = struct.unpack_from(f"<{dimensions}Q", data, at + 4)
        kind, offset = struct.unpack_from("<IQ", data, at + 4 + 8 * dimensions)
        at += 16 + 8 * dimensions
        count = math.prod(shape)
        if kind not in _BLOCKS:
            raise _unsupported(path, f"tensor {ascii(name)[:80]} is of type {kind}", "F32, F16, BF16, Q4 to Q8, K or IQ4 types")  # fmt: skip
        width, block_bytes = _BLOCKS[kind]
        if not 0 < count <= _MOST_ELEMENTS or shape[0] % width:
            raise _broken(path, f"tensor {ascii(name)[:80]} has no sound shape")
        if offset % alignment:
            raise _broken(
                path, f"tensor {ascii(name)[:80]} does not begin at a multiple of {alignment}"
            )
        spans.append((offset, offset + count // width * block_bytes, name))
        tensors[name], elements = tuple(reversed(shape)), elements + count
    start = -(-at // alignment) * alignment
    reached = 0
    for begin, stop, name in sorted(spans):
        if begin < reached:
            raise _broken(path, f"tensor {ascii(name)[:80]} overlaps another")
        if start + stop > size:
            raise _broken(path, f"ends before tensor {ascii(name)[:80]} does")
        reached = stop
    architecture = fields.get("general.architecture")
    if not isinstance(architecture, str):
        raise _broken(path, "does not name its architecture")
    return GgufFacts(architecture, fields, tensors, elements)


def _value(path: Path, data: mmap.mmap, at: int, end: int, kind: int) -> tuple[Value, int]:
    if kind == _STRING:
        return _text(path, data, at, end, most=_MOST_TEXT_BYTES)
    if kind in _NUMBERS:
        (number,) = struct.unpack_from(f"<{_NUMBERS[kind]}", data, at)
        return number, at + struct.calcsize(f"<{_NUMBERS[kind]}")
    if kind != _ARRAY:
        raise _broken(path, f"has a field of the unknown type {kind}")
    inner, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if count > _MOST_ITEMS:
        raise _broken(path, f"claims a list of {count} items (at most {_MOST_ITEMS})")
    if inner in _NUMBERS:
        at += count * struct.calcsize(f"<{_NUMBERS[inner]}")
        if at > end:
            raise _broken(path, "has a list that is longer than the file")
        return count, at
    if inner != _STRING:
        raise _broken(path, f"has a list of items of type {inner}")
    for _ in range(count):
        _, at = _text(path, data, at, end, most=_MOST_TEXT_BYTES)
    return count, at


def _text(path: Path, data: mmap.mmap, at: int, end: int, *, most: int) -> tuple[str, int]:
    (length,) = struct.unpack_from("<Q", data, at)
    stop = at + 8 + length
    if length > most or stop > end:
        raise _broken(path, f"claims a text of {length} bytes at byte {at}")
    try:
        return data[at + 8 : stop].decode("utf-8"), stop
    except UnicodeDecodeError:
        raise _broken(path, f"has a text at byte {at} that is not UTF-8") from None


def _check_kind(path: Path, facts: GgufFacts) -> None:
    """Refuse what transformers would read without an error and wrongly."""
    name, fields = facts.architecture, facts.fields
    if name not in ARCHITECTURES:
        raise _unsupported(
            path,
            f"is of architecture {ascii(name)[:60]}",
            f"one of: {', '.join(sorted(ARCHITECTURES))}",
            nearest=nearest(name, ARCHITECTURES),
        )
    scaling = fields.get(f"{name}.rope.scaling.type")
    if scaling not in (None, "none") or "rope_freqs.weight" in facts.tensors:
        raise _unsupported(path, "stretches its positions (rope scaling)", "plain positions")
    if fields.get(f"{name}.expert_count"):
        raise _unsupported(path, "is a mixture of experts", "a dense model")
    if not isinstance(fields.get("tokenizer.ggml.tokens"), int):
        raise _broken(path, "holds no vocabulary")
    kind, split = fields.get("tokenizer.ggml.model"), fields.get("tokenizer.ggml.pre")
    if kind == "gpt2" and split not in SPLITS:
        raise _unsupported(
            path,
            f"splits text by the rule {ascii(str(split))[:40]}",
            f"one of: {', '.join(sorted(SPLITS))}",
        )
    if kind not in ("gpt2", "llama"):
        raise _unsupported(
            path, f"has a tokenizer of type {ascii(str(kind))[:40]}", "gpt2 (byte-level) or llama"
        )


def _broken(path: Path, what: str) -> BurnishError:
    return fail(
        "base-gguf-broken",
        what,
        where=path.name,
        expected="a GGUF file as its publisher wrote it",
        fix="download the file again and compare its size or checksum",
    )


def _unsupported(
    path: Path, what: str, expected: str, *, nearest: str | None = None
) -> BurnishError:
    return fail(
        "base-gguf-unsupported",
        what,
        where=path.name,
        expected=expected,
        fix="use the same model as safetensors: hub:ORG/NAME@REVISION or folder:PATH",
        nearest=nearest,
    )
