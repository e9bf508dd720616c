"""A folder's weights, checked before anything maps them: safetensors only, headers bounded, sound and exact."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from burnish.errors import BurnishError, fail
from burnish.models.hostile_files import open_regular, parse_json

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
SHARD = re.compile(r"model-\d{5}-of-\d{5}\.safetensors")
_PICKLED = re.compile(r"(?i).*\.(?:bin|pt|pth|ckpt|pkl|pickle|joblib|dill|npy|npz)")

MOST_HEADER_BYTES = 100_000_000
MOST_TENSORS = 100_000
_MOST_DIMENSIONS = 8
_LONGEST_NAME = 512
# Source: the safetensors format description; widths in bytes.
_WIDTHS = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
}


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """What a sound header says: each tensor's shape, and the number of elements in all."""

    shapes: Mapping[str, tuple[int, ...]]
    elements: int


def check_all_weights(folder: Path, names: Sequence[str], *, index: object) -> WeightsFacts:
    """The facts of a folder's weights, whole or in shards; `index` is the parsed index file, if any.

    Raises: base-no-weights, base-pickled-weights, base-weights-ambiguous, base-weights-index,
        base-weights-broken.
    """
    shards = [name for name in names if SHARD.fullmatch(name)]
    if WEIGHTS in names and (shards or WEIGHTS_INDEX in names):
        raise fail(
            "base-weights-ambiguous",
            "both whole and sharded weights are there",
            where=WEIGHTS,
            expected="one or the other",
            fix="remove the ones that are not meant",
        )
    if WEIGHTS in names:
        return check_weights(folder / WEIGHTS)
    if shards or WEIGHTS_INDEX in names:
        return _check_shards(folder, shards, index)
    pickled = [name for name in names if is_pickled(name)]
    if pickled:
        raise pickled_weights(pickled[0])
    raise fail(
        "base-no-weights",
        "there are no weights",
        where=WEIGHTS,
        expected=f"{WEIGHTS}, or shards with {WEIGHTS_INDEX}",
        fix="save the model with safe_serialization=True",
    )


def is_pickled(name: str) -> bool:
    """Whether a file of this name holds weights in a format that runs code when it is read."""
    return bool(_PICKLED.fullmatch(name))


def pickled_weights(name: str) -> BurnishError:
    """The refusal of a model that has only pickled weights, with the conversion explained."""
    return fail(
        "base-pickled-weights",
        f"{name} is pickled, and there are no safetensors weights",
        where=name,
        expected="model.safetensors: reading a pickle runs whatever code is inside it",
        fix="on a machine you can throw away, load the model with transformers and write it again "
        "with model.save_pretrained(FOLDER, safe_serialization=True); then use folder:FOLDER",
    )


def check_weights(path: Path) -> WeightsFacts:
    """The facts of a safetensors file whose header is sound and whose tensors cover the data exactly.

    No holes, no overlap, no bytes left over: nothing can hide in the file, and no offset leaves it.

    Raises: base-weights-broken and the codes of `open_regular`, `parse_json`.
    """
    with open_regular(path) as handle:
        size = handle.seek(0, 2)
        handle.seek(0)
        start = handle.read(8)
        if len(start) < 8:
            raise _broken(path, "is shorter than the eight bytes of a header length")
        length = int.from_bytes(start, "little")
        if length > MOST_HEADER_BYTES:
            raise _broken(path, f"claims a header of {length} bytes (at most {MOST_HEADER_BYTES})")
        if 8 + length > size:
            raise _broken(path, f"claims a header of {length} bytes in a file of {size}")
        header = handle.read(length)
    if not header.startswith(b"{"):
        raise _broken(path, "has a header that does not start as a JSON object")
    tensors = parse_json(header, name=path.name)
    if not isinstance(tensors, dict):
        raise _broken(path, "has a header that is not a JSON object")
    _check_metadata(path, tensors.pop("__metadata__", {}))
    if not tensors:
        raise _broken(path, "holds no tensors")
    if len(tensors) > MOST_TENSORS:
        raise _broken(path, f"holds {len(tensors)} tensors (at most {MOST_TENSORS})")
    return _check_tensors(path, tensors, data_bytes=size - 8 - length)


def _check_metadata(path: Path, metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _broken(path, "has metadata that are not plain words")


def _check_tensors(path: Path, tensors: dict[str, object], *, data_bytes: int) -> WeightsFacts:
    shapes: dict[str, tuple[int, ...]] = {}
    spans: list[tuple[int, int, str]] = []
    elements = 0
    for name, entry in tensors.items():
        if not name or len(name) > _LONGEST_NAME or not name.isprintable():
            raise _broken(path, f"has a tensor with an unusable name {name[:60]!r}")
        if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
            raise _broken(path, f'tensor "{name}" is not described by dtype, shape, data_offsets')
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if not isinstance(dtype, str) or dtype not in _WIDTHS:
            raise _broken(path, f'tensor "{name}" has the unknown dtype {str(dtype)[:40]!r}')
        if not _whole_numbers(shape) or len(shape) > _MOST_DIMENSIONS:
            raise _broken(path, f'tensor "{name}" has no sound shape')
        if not _whole_numbers(offsets) or len(offsets) != 2:
            raise _broken(path, f'tensor "{name}" has no sound offsets')
        begin, end = offsets
        if not begin <= end <= data_bytes:
            raise _broken(path, f'tensor "{name}" lies outside the file')
        count = math.prod(shape)
        if count * _WIDTHS[dtype] != end - begin:
            raise _broken(path, f'tensor "{name}": shape and bytes do not agree')
        shapes[name] = tuple(shape)
        spans.append((begin, end, name))
        elements += count
    reached = 0
    for begin, end, name in sorted(spans):
        if begin != reached:
            trouble = "overlaps another" if begin < reached else "leaves a gap before it"
            raise _broken(path, f'tensor "{name}" {trouble}')
        reached = end
    if reached != data_bytes:
        raise _broken(path, f"has {data_bytes - reached} bytes that belong to no tensor")
    return WeightsFacts(shapes, elements)


def _whole_numbers(value: object) -> bool:
    # bool is an int in Python and must not pass for one; 2**63 is beyond any real size
    return isinstance(value, list) and all(type(v) is int and 0 <= v < 2**63 for v in value)


def _broken(path: Path, what: str) -> BurnishError:
    return fail(
        "base-weights-broken",
        what,
        where=path.name,
        expected="a safetensors file as the safetensors library writes it",
        fix="download or save the weights again",
    )


def _check_shards(folder: Path, shards: list[str], index: object) -> WeightsFacts:
    def wrong(what: str) -> BurnishError:
        return fail(
            "base-weights-index",
            what,
            where=WEIGHTS_INDEX,
            expected="each tensor in exactly one shard of this folder, as save_pretrained writes it",
            fix="download or save the weights again",
        )

    placed = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(placed, dict) or not placed:
        raise wrong("there is no index with a weight_map")
    for shard in placed.values():
        if not isinstance(shard, str) or not SHARD.fullmatch(shard):
            raise wrong(f"names the shard {str(shard)[:60]!r}")
    if set(placed.values()) != set(shards):
        odd = min(set(placed.values()) ^ set(shards))
        raise wrong(f"{odd} is only in the index or only in the folder")
    shapes: dict[str, tuple[int, ...]] = {}
    elements = 0
    for shard in shards:
        facts = check_weights(folder / shard)
        if {name for name, home in placed.items() if home == shard} != set(facts.shapes):
            raise wrong(f"does not list the tensors that {shard} holds")
        shapes |= facts.shapes
        elements += facts.elements
    return WeightsFacts(shapes, elements)
