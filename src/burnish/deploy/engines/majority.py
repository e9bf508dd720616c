"""The majority engine: answers with the label shares of the training rows, whatever the text says.

The simplest real occupant of the door: needs no torch and no tokenizer, and is what a tuned model
has to beat.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from burnish.errors import fail
from burnish.records.encoding import Encoding, FloatArray
from burnish.records.task import Task

ARRAYS_FILE = "arrays.json"
_WORD = re.compile(r"\w+")
_SMALLEST_SHARE = 1e-9


class MajorityFitted:
    """Label shares as a model. Token ids are CRC-32 hashes of the words, cut to 31 bits.

    Shapes: shares_L (L,) float64, each at least 1e-9 so that its logarithm exists.
    """

    def __init__(self, shares: Sequence[float], *, sigmoid: bool, max_tokens: int) -> None:
        shares_L = np.clip(np.asarray(shares, np.float64), _SMALLEST_SHARE, 1 - _SMALLEST_SHARE)
        self.logits_L = np.log(shares_L / (1 - shares_L)) if sigmoid else np.log(shares_L)
        self.max_tokens = max_tokens

    def encode(self, texts: Sequence[str]) -> list[Encoding]:
        """Hashed words of each text, at most `max_tokens` of them, the rest counted."""
        return [self._encode(text) for text in texts]

    def logits(self, encodings: Sequence[Encoding]) -> FloatArray:
        """The same row of log shares (log odds for `multilabel`) for every encoding."""
        return np.tile(self.logits_L, (len(encodings), 1))

    def _encode(self, text: str) -> Encoding:
        words = list(_WORD.finditer(text))
        kept = words[: self.max_tokens]
        lost = len(words) - len(kept)
        ids = [zlib.crc32(w.group().encode("utf-8", "replace")) & 0x7FFFFFFF for w in kept]
        return Encoding(
            text=text,
            ids_T=np.asarray(ids, np.int32),
            offsets_T2=np.asarray([w.span() for w in kept], np.int32).reshape(-1, 2),
            dropped_tokens=lost,
            dropped_characters=len(text) - kept[-1].end() if lost else 0,
        )


def load(folder: Path, task: Task, *, precision: str, max_tokens: int) -> MajorityFitted:
    """The shares in `arrays.json`: {"shares": {label name: fraction}}. `precision` changes nothing here.

    Raises: engine-arrays-broken when the file is missing or does not fit the task.
    """
    where = ARRAYS_FILE
    try:
        shares = json.loads((folder / where).read_bytes())["shares"]
        values = [float(shares[name]) for name in task.label_names]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise fail(
            "engine-arrays-broken",
            f"cannot read the label shares: {error}",
            where=where,
            expected='{"shares": {label: fraction}} with every label of the task',
            fix="make the bundle again",
        ) from error
    return MajorityFitted(values, sigmoid=task.kind == "multilabel", max_tokens=max_tokens)


def write(folder: Path, shares: dict[str, float]) -> None:
    """Write what `load` reads."""
    (folder / ARRAYS_FILE).write_text(json.dumps({"shares": shares}, indent=1), encoding="utf-8")
