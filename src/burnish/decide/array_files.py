"""Baselines at rest: arrays in safetensors, words in JSON, nothing that could run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from burnish.errors import fail

ARRAYS = "arrays.safetensors"
SETTINGS = "arrays.json"


def save_arrays(
    folder: Path, arrays: Mapping[str, NDArray[Any]], *, settings: Mapping[str, Any]
) -> None:
    """Write both files into an existing (staging) folder."""
    save_file(
        {name: np.ascontiguousarray(value) for name, value in arrays.items()}, folder / ARRAYS
    )
    text = json.dumps(settings, ensure_ascii=False, sort_keys=True)
    (folder / SETTINGS).write_text(text, encoding="utf-8")


def load_arrays(folder: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read both files back.

    Raises: model-unreadable.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        return load_file(folder / ARRAYS), settings
    except (OSError, ValueError, SafetensorError) as error:
        raise fail(
            "model-unreadable",
            f"{ARRAYS} or {SETTINGS} cannot be read ({type(error).__name__})",
            where=folder.name,
            expected="the two files as Burnish wrote them",
            fix="run `burnish run` again to rebuild the model",
        ) from None
