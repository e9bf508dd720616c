"""The gate a model folder passes before anything loads it: hostile until every file is known, bounded and sound.

Nothing here runs, imports or unpickles what a folder holds. The lists below are allow-lists: a file is read,
or known and left alone, or the folder is refused.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from burnish.errors import BurnishError, Problem, fail, nearest
from burnish.models.hostile_config import check_config, check_paths, check_proportion
from burnish.models.hostile_files import forbidden_places, read_bytes, read_json
from burnish.models.hostile_tokenizer import MOST_TOKENIZER_BYTES, check_tokenizer
from burnish.models.hostile_weights import (
    SHARD,
    WEIGHTS,
    WEIGHTS_INDEX,
    check_all_weights,
    is_pickled,
)

_T = TypeVar("_T")

_USED = frozenset(
    {
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.jinja",  # data until a template is compiled, under limits of its own
    }
)
# Known companions: never copied, never loaded. Their JSON is still read for forbidden keys.
_COMPANIONS = re.compile(
    r"""(?ix)
      (?:readme|licen[cs]e|notice|model_card|changelog|citation)[a-z0-9._-]*
    | \.gitattributes | \.gitignore | \.locks | \.no_exist
    | manifest\.json | base\.json
    | (?:vocab|merges)(?:\.txt|\.json) | added_tokens\.json | bpe\.codes | dict\.txt
    | [a-z0-9._-]*\.model                                    # sentencepiece; tokenizer.json is used
    | generation_config\.json | data_config\.json | modules\.json
    | (?:config_sentence_transformers|sentence_[a-z]+_config)\.json
    | trainer_state\.json | [a-z0-9_-]*results\.json
    | pytorch_model[a-z0-9._-]*\.(?:bin|bin\.index\.json)
    | tf_model\.h5 | flax_model\.msgpack | rust_model\.ot | [a-z0-9._-]+\.onnx
    | training_args\.bin | (?:optimizer|scheduler|scaler)\.pt | rng_state[a-z0-9_]*\.pth
    """
)
_COMPANION_FOLDERS = re.compile(
    r"(?i)\.git|\.cache|onnx|openvino|coreml|runs|checkpoint-\d+|[0-9]_[A-Za-z]+"
)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")

_MOST_ENTRIES = 1000
_MOST_BYTES = {"tokenizer.json": MOST_TOKENIZER_BYTES, WEIGHTS_INDEX: 16 << 20}
_TEMPLATE, _MOST_TEMPLATE_BYTES = "chat_template.jinja", 1 << 20
_MOST_JSON_BYTES = 8 << 20  # every other JSON; a trainer_state.json of a long run is the largest


def check_model_folder(folder: Path) -> tuple[Problem, ...]:
    """Every reason not to use a model folder; empty when it may be loaded.

    Names and file kinds first: a folder with a stray name or a link is not read any further.
    Codes: base-folder-missing, base-folder-not-regular, base-folder-crowded, base-file-unlisted,
    base-file-not-regular, base-file-hardlink, base-file-missing, base-file-large, base-not-readable,
    base-code-inside, base-json-broken, base-json-deep, base-json-large, base-config-broken,
    base-config-bounds, base-config-weights, base-model-type, base-no-weights, base-pickled-weights,
    base-weights-broken, base-weights-ambiguous, base-weights-index, base-no-tokenizer,
    base-tokenizer-broken, base-tokenizer-mismatch.

    Example:
        >>> [problem.code for problem in check_model_folder(Path("/nonexistent"))]
        ['base-folder-missing']
    """
    try:
        names = _names(folder)
    except BurnishError as error:
        return error.problems
    problems = [problem for name in names for problem in _entry_problems(folder, name)]
    if problems:
        return tuple(problems)

    found: list[Problem] = []

    def tried(step: Callable[[], _T]) -> _T | None:
        try:
            return step()
        except BurnishError as error:
            found.extend(error.problems)
            return None

    values = {
        name: tried(lambda name=name: read_json(folder / name, most=_most_bytes(name)))
        for name in names
        if name.casefold().endswith(".json") and (folder / name).is_file()
    }
    for name, value in values.items():
        found.extend(_code_problems(name, value))
    if _TEMPLATE in names:
        tried(lambda: read_bytes(folder / _TEMPLATE, most=_MOST_TEMPLATE_BYTES))
    if "config.json" not in names:
        found.append(_missing("config.json"))
    config = values.get("config.json")
    if config is not None:
        tried(lambda: check_config(config))
    if values.get("tokenizer_config.json") is not None:
        tried(lambda: check_paths(values["tokenizer_config.json"], name="tokenizer_config.json"))
    weights = tried(lambda: check_all_weights(folder, names, index=values.get(WEIGHTS_INDEX)))
    if weights is not None and isinstance(config, dict):
        tried(lambda: check_proportion(config, elements=weights.elements))
    if "tokenizer.json" not in names:
        found.append(_no_tokenizer())
    elif values["tokenizer.json"] is not None and not found:
        # only now: the Rust parser sees a file whose JSON is already known to be bounded
        tried(
            lambda: check_tokenizer(
                folder / "tokenizer.json", values["tokenizer.json"], config=config
            )
        )
    return tuple(found)


def is_used(name: str) -> bool:
    """Whether a file of this name is copied and loaded; all others of a folder stay where they are.

    Example:
        >>> is_used("model-00001-of-00002.safetensors"), is_used("README.md")
        (True, False)
    """
    return name in _USED or name in (WEIGHTS, WEIGHTS_INDEX) or bool(SHARD.fullmatch(name))


def is_gate_input(name: str) -> bool:
    """Whether the gate wants to see a file of this name: what is used, and every companion's JSON."""
    return is_used(name) or (
        name.casefold().endswith(".json") and bool(_COMPANIONS.fullmatch(name))
    )


def _names(folder: Path) -> list[str]:
    try:
        facts = os.lstat(folder)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise fail(
            "base-folder-missing",
            "there is no such folder",
            where=str(folder),
            fix="check the path of the base model",
        ) from None
    if not stat.S_ISDIR(facts.st_mode):
        raise fail(
            "base-folder-not-regular",
            "is not a folder",
            where=str(folder),
            expected="a folder with config.json, tokenizer.json and model.safetensors",
            fix="name the folder itself",
        )
    try:
        with os.scandir(folder) as entries:
            names = [
                entry.name for entry, _ in zip(entries, range(_MOST_ENTRIES + 1), strict=False)
            ]
    except PermissionError:
        raise fail(
            "base-not-readable",
            "cannot be listed: permission denied",
            where=str(folder),
            fix=f"chmod u+rx {folder}",
        ) from None
    if len(names) > _MOST_ENTRIES:
        raise fail(
            "base-folder-crowded",
            f"holds more than {_MOST_ENTRIES} entries",
            where=str(folder),
            fix="put the model's own files into a folder of their own",
        )
    return sorted(names)


def _entry_problems(folder: Path, name: str) -> tuple[Problem, ...]:
    facts = os.lstat(folder / name)
    known_file = is_used(name) or bool(_COMPANIONS.fullmatch(name))
    if stat.S_ISDIR(facts.st_mode) and not known_file:
        return () if _COMPANION_FOLDERS.fullmatch(name) else _unlisted(name, "folder")
    if not known_file and not is_pickled(name):
        return _unlisted(name, "file")
    if not stat.S_ISREG(facts.st_mode):
        return (
            Problem(
                "base-file-not-regular",
                "is a link, device, pipe or folder where a file belongs",
                where=name,
                expected="regular files only",
                fix="copy the folder with its links followed (cp -rL OLD NEW) and name the copy",
            ),
        )
    if facts.st_nlink > 1:
        return (
            Problem(
                "base-file-hardlink",
                f"is one of {facts.st_nlink} names of the same file",
                where=name,
                expected="a file of its own, so that nobody can change it from elsewhere",
                fix="copy the folder (cp -rL OLD NEW) and name the copy",
            ),
        )
    return ()


def _unlisted(name: str, what: str) -> tuple[Problem, ...]:
    shown = name if _PLAIN_NAME.fullmatch(name) else ascii(name)[:80]
    return (
        Problem(
            "base-file-unlisted",
            f"a {what} that no base model needs",
            where=shown,
            expected="config.json, tokenizer.json, model.safetensors and their known companions",
            fix="copy only those files to a folder of their own",
            nearest=nearest(name, sorted(_USED | {WEIGHTS, WEIGHTS_INDEX})),
        ),
    )


def _most_bytes(name: str) -> int:
    return _MOST_BYTES.get(name, _MOST_JSON_BYTES)


def _missing(name: str) -> Problem:
    return Problem(
        "base-file-missing",
        "is not there",
        where=name,
        expected="config.json, tokenizer.json and model.safetensors",
        fix="download or save the model folder again",
    )


def _no_tokenizer() -> Problem:
    return Problem(
        "base-no-tokenizer",
        "there is no tokenizer.json",
        where="tokenizer.json",
        expected="the fast tokenizer's one file (vocab.txt, merges.txt or *.model are not enough)",
        fix="write it with transformers: AutoTokenizer.from_pretrained(OLD).save_pretrained(FOLDER)",
    )


def _code_problems(name: str, value: object) -> list[Problem]:
    if name in ("vocab.json", "added_tokens.json"):
        return []  # keys are tokens there, and the file is never loaded
    skip = "model.vocab" if name == "tokenizer.json" else ""
    return [
        Problem(
            "base-code-inside",
            f'"{place[:80]}" {why}',
            where=name,
            expected="a model of a known architecture, which needs no code of its own",
            fix="use another base model; there is no option that allows this",
        )
        for place, why in forbidden_places(value, skip=skip)
    ]
