"""Reading one file that may be hostile: regular files only, sizes bounded, JSON bounded and unambiguous."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import BinaryIO

from burnish.errors import fail
from burnish.store.faults import unreadable

# A tokenizer.json of 580,000 merges and 256,000 tokens has about 2.5 million commas and brackets.
MOST_JSON_NODES = 5_000_000
MOST_JSON_DEPTH = 64
# Words that make transformers import code that came with a model, or run a stranger's template.
# `quantization_config` loads third-party kernels, which no encoder base needs.
FORBIDDEN_KEYS = frozenset(
    {
        "auto_map",
        "trust_remote_code",
        "custom_pipelines",
        "custom_pipeline",
        "custom_generate",
        "code_revision",
        "chat_template",
        "quantization_config",
        "_target_",
        "py/object",
        "py/reduce",
        "__reduce__",
        "__class__",
    }
)
# transformers downloads and runs a "kernel" when one of these names a hub repository (CVE-2026-4372).
_IMPLEMENTATION_KEYS = frozenset(
    {
        "attn_implementation",
        "_attn_implementation",
        "_attn_implementation_internal",
        "experts_implementation",
        "_experts_implementation",
        "_experts_implementation_internal",
        "kernel_config",
        "use_kernels",
    }
)


# A symbolic link, a socket, a device without a driver.
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EOPNOTSUPP, errno.EMLINK})


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file that is not a link and has no second name, without following anything.

    The checks are made on the opened file itself, so nothing can be swapped in between.

    Raises: base-file-not-regular, base-file-hardlink, base-file-missing, not-readable.
    """
    # O_NONBLOCK: opening a named pipe must not wait for a writer
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        handle = os.open(path, flags)
    except FileNotFoundError:
        raise fail(
            "base-file-missing",
            "is not there",
            where=path.name,
            fix="download or save the model folder again",
        ) from None
    except PermissionError:
        raise fail(
            "base-not-readable",
            "cannot be opened: permission denied",
            where=path.name,
            fix=f"chmod u+r {path.name}",
        ) from None
    except OSError as error:
        if error.errno in _NO_FILE:
            raise _not_regular(path) from None
        raise unreadable(error, path) from error
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise _not_regular(path)
        if facts.st_nlink > 1:
            raise fail(
                "base-file-hardlink",
                f"is one of {facts.st_nlink} names of the same file",
                where=path.name,
                expected="a file of its own, so that nobody can change it from elsewhere",
                fix="copy the folder (cp -rL OLD NEW) and name the copy",
            )
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def _not_regular(path: Path) -> Exception:
    return fail(
        "base-file-not-regular",
        "is a link, device, pipe or folder where a file belongs",
        where=path.name,
        expected="regular files only",
        fix="copy the folder with its links followed (cp -rL OLD NEW) and name the copy",
    )


def read_bytes(path: Path, *, most: int) -> bytes:
    """The bytes of a regular file of at most `most` bytes.

    Raises: base-file-large and the codes of `open_regular`.
    """
    with open_regular(path) as handle:
        # read, not stat: a file may grow after its size was asked
        data = handle.read(most + 1)
    if len(data) > most:
        raise fail(
            "base-file-large",
            f"is larger than {most} bytes",
            where=path.name,
            expected=f"at most {most} bytes",
            fix="check that this is the file a model's publisher meant; real ones are smaller",
        )
    return data


def read_json(path: Path, *, most: int) -> object:
    """The JSON value of a file, past the bounds of `parse_json`."""
    return parse_json(read_bytes(path, most=most), name=path.name)


def parse_json(data: bytes, *, name: str) -> object:
    """JSON with every doubt refused: not UTF-8, a key twice, NaN, infinity, too deep, too many values.

    Raises: base-json-broken, base-json-deep, base-json-large.

    Example:
        >>> parse_json(b'{"a": [1, "x"]}', name="config.json")
        {'a': [1, 'x']}
    """
    # counted before parsing, commas in strings included: ten bytes of "[]," cost a kilobyte of objects
    nodes = data.count(b"[") + data.count(b"{") + data.count(b",")
    if nodes > MOST_JSON_NODES:
        raise fail(
            "base-json-large",
            f"holds about {nodes} values",
            where=name,
            expected=f"at most {MOST_JSON_NODES}",
            fix="check that this is the file a model's publisher meant",
        )
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_constant
        )
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:  # also bad UTF-8 and integers of thousands of digits
        raise fail(
            "base-json-broken",
            f"is not sound JSON: {str(error)[:120]}",
            where=name,
            fix="download or save the model folder again",
        ) from None
    _check_depth(value, name=name)
    return value


def _check_depth(value: object, *, name: str) -> None:
    level, depth = [value], 0
    while level:
        depth += 1
        if depth > MOST_JSON_DEPTH:
            raise _too_deep(name)
        below: list[object] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
            elif isinstance(node, float) and not math.isfinite(node):
                raise fail(
                    "base-json-broken",
                    "holds a number too large for a float",
                    where=name,
                    fix="correct the number",
                )
        level = below


def _too_deep(name: str) -> Exception:
    return fail(
        "base-json-deep",
        "is nested too deeply",
        where=name,
        expected=f"at most {MOST_JSON_DEPTH} levels",
        fix="check that this is the file a model's publisher meant",
    )


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return made


def _no_constant(word: str) -> object:
    raise ValueError(f"{word} is not JSON")


def forbidden_places(value: object, *, skip: str = "") -> list[tuple[str, str]]:
    """(place, why) of every key that would let a model bring code or templates of its own.

    `skip` is one place not looked into: a vocabulary, whose keys are tokens.

    Example:
        >>> forbidden_places({"a": [{"auto_map": {}}]})
        [('a[0].auto_map', 'would run code that came with the model')]
        >>> forbidden_places({"attn_implementation": "evil/kernel"})
        [('attn_implementation', 'names a kernel to be downloaded and run')]
        >>> forbidden_places({"model": {"vocab": {"auto_map": 7}}}, skip="model.vocab")
        []
    """
    found: list[tuple[str, str]] = []
    stack: list[tuple[str, object]] = [("", value)]
    while stack:
        place, node = stack.pop()
        if isinstance(node, dict):
            for key, child in node.items():
                why = _why_forbidden(key, child)
                inside = f"{place}.{key}" if place else key
                if why:
                    found.append((inside, why))
                if isinstance(child, dict | list) and inside != skip:
                    stack.append((inside, child))
        elif isinstance(node, list):
            for index, child in enumerate(node):
                if isinstance(child, dict | list):
                    stack.append((f"{place}[{index}]", child))
    return sorted(found)


def _why_forbidden(key: str, value: object) -> str | None:
    # the comparison ignores case and spaces: a key that only differs there has no honest use
    plain = key.strip().casefold()
    if plain in _IMPLEMENTATION_KEYS:
        if value is None or value is False or value in ("eager", "sdpa"):
            return None
        return "names a kernel to be downloaded and run"
    if plain in FORBIDDEN_KEYS and not (plain == "trust_remote_code" and value is False):
        return "would run code that came with the model"
    return None
