"""tokenizer.json, checked before and by the library that reads it: bounded, deterministic, fitting the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from burnish.errors import BurnishError, fail
from burnish.models.hostile_files import read_bytes

MOST_TOKENIZER_BYTES = 64 << 20
_MODELS = ("WordPiece", "BPE", "Unigram", "WordLevel")
_MOST_WORD_CHARACTERS = 10_000
_MOST_PADDING = 1_000_000
_MOST_TEMPLATE_PIECES = 64
# Thirty rules "a becomes aa" in a row turn one letter into a gigabyte.
_MOST_GROWTH = 64


def check_tokenizer(path: Path, value: object, *, config: object) -> None:
    """Refuse a tokenizer that is unsound, random, explosive, or has ids the model has no embedding for.

    `value` is the file's JSON, already bounded; `config` the parsed config.json.

    Raises: base-tokenizer-broken, base-tokenizer-mismatch.
    """
    model = value.get("model") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(model, dict):
        raise _broken("has no model")
    # older files leave the type out; the library then tells from the fields
    if model.get("type", "BPE") not in _MODELS:
        raise _broken(f"has a model of type {str(model.get('type'))[:40]!r}")
    if model.get("dropout"):
        raise _broken("drops merges at random, so the same text would get different tokens")
    _bound(model.get("max_input_chars_per_word"), _MOST_WORD_CHARACTERS, "words of")
    _check_ids(value, model, config)
    padding = value.get("padding")
    if isinstance(padding, dict):
        strategy = padding.get("strategy")
        fixed = strategy.get("Fixed") if isinstance(strategy, dict) else None
        _bound(fixed, _MOST_PADDING, "padding to")
        _bound(padding.get("pad_to_multiple_of"), _MOST_PADDING, "padding to multiples of")
    _check_growth(value.get("normalizer"))
    for step in _steps(value.get("post_processor"), "processors"):
        for kind in ("single", "pair"):
            pieces = step.get(kind)
            if isinstance(pieces, list) and len(pieces) > _MOST_TEMPLATE_PIECES:
                raise _broken(f"adds {len(pieces)} special tokens to every text")
    _parse(read_bytes(path, most=MOST_TOKENIZER_BYTES))


def _check_ids(value: dict[str, object], model: dict[str, object], config: object) -> None:
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, dict):
        ids: list[object] = list(vocabulary.values())
    elif isinstance(vocabulary, list):
        ids = list(range(len(vocabulary)))
    else:
        raise _broken("has no vocabulary")
    added = value.get("added_tokens", [])
    if not isinstance(added, list):
        raise _broken("has added_tokens that are no list")
    for token in added:
        content = token.get("content") if isinstance(token, dict) else None
        if not isinstance(content, str) or not content:
            raise _broken("has an added token without content")
        ids.append(token.get("id"))
    numbers = [i for i in ids if type(i) is int and 0 <= i < 2**31]
    if not numbers or len(numbers) < len(ids):
        raise _broken("has token ids that are not whole numbers")
    size = config.get("vocab_size") if isinstance(config, dict) else None
    if isinstance(size, int) and max(numbers) >= size:
        raise fail(
            "base-tokenizer-mismatch",
            f"has the token id {max(numbers)}, and the model has {size} embeddings",
            where="tokenizer.json",
            expected=f"ids from 0 to {size - 1}",
            fix="use the tokenizer that belongs to these weights",
        )


def _check_growth(normalizer: object) -> None:
    growth = 1
    for step in _steps(normalizer, "normalizers"):
        # a rule can match every character, so its content's length is the factor it may grow by
        made = step.get("content") if step.get("type") == "Replace" else step.get("prepend")
        growth *= max(1, len(made)) if isinstance(made, str) else 1
        if growth > _MOST_GROWTH:
            raise _broken("has normalizers that could make a text much longer")


def _steps(node: object, inner: str) -> Iterator[dict[str, object]]:
    """A step and, for a Sequence, its parts; depth is bounded by the JSON gate."""
    if not isinstance(node, dict):
        return
    yield node
    parts = node.get(inner)
    for part in parts if isinstance(parts, list) else []:
        yield from _steps(part, inner)


def _bound(value: object, most: int, what: str) -> None:
    if value is not None and (type(value) is not int or not 0 <= value <= most):
        raise _broken(f"asks for {what} {str(value)[:30]}")


def _parse(data: bytes) -> None:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(data.decode("utf-8"))
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tokenizer.encode("Hello, 世界!")
    except BaseException as error:
        # the Rust library raises bare Exception for a bad file, and its panics derive from BaseException
        if type(error) is Exception or type(error).__name__ == "PanicException":
            raise _broken(f"cannot be used: {str(error)[:160]}") from None
        raise


def _broken(what: str) -> BurnishError:
    return fail(
        "base-tokenizer-broken",
        what,
        where="tokenizer.json",
        expected="a tokenizer.json as the tokenizers library writes it",
        fix="download it again, or write it with AutoTokenizer.from_pretrained(OLD).save_pretrained(FOLDER)",
    )
