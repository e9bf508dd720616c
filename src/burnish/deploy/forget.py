"""Forget rows in bundles: golden rows and learnt words go, everything that answers stays; the id, which proves the
content, is a new one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.data.tombstones import MARK
from burnish.decide.array_files import SETTINGS
from burnish.decide.baselines.tfidf import terms
from burnish.decide.term_weights import terms as text_terms
from burnish.decide.text_baseline import TEXT_BASELINES
from burnish.deploy.bundle import (
    BUNDLE_FILE,
    CARD_FILE,
    identity,
    listed_digests,
    load_bundle,
    load_task_of,
    open_any,
)
from burnish.deploy.engine import load_engine, load_text_engine
from burnish.deploy.golden import GOLDEN_FILE, golden_text, make_golden, read_golden
from burnish.deploy.golden_text import make_golden_texts
from burnish.evaluate.card import slice_name
from burnish.models.learnt_words import TOKENIZER_FILE, is_tiny, pieces_only_in, without_pieces
from burnish.records.deployment import Bundle, Golden
from burnish.records.message import Message
from burnish.store.durable import new_folder, remove_folder
from burnish.store.workspace import Workspace, lock, names_in
from burnish.tasks.conversation import write_conversation
from burnish.tasks.kinds.chat import is_conversation

# What models are asked at the checks where no row is left.
_NOBODY = Message(role="user", content="Hello.")


@dataclass(frozen=True, slots=True)
class Words:
    """The rendered texts that go, and all that stay: what only the first have is taken out of learnt vocabularies.

    `values` are (column, value) pairs that only rows had that go: a card may name a slice by them. `answers` are texts
    that were right for such rows alone: a baseline may answer with them.
    """

    gone: Sequence[str]
    others: Sequence[str]
    values: Collection[tuple[str, str]] = ()
    answers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Marked:
    """A bundle that remembers rows: how many golden rows, which words of its vocabularies and which answers, and its card
    without them where that changes.
    """

    bundle: Bundle
    golden: int
    terms: frozenset[str]
    pieces: frozenset[str]
    answers: frozenset[str]
    card: str | None


def search_bundles(
    workspace: Workspace, *, is_meant: Callable[[Mapping[str, str]], bool], words: Words
) -> tuple[Marked, ...]:
    """The bundles that remember a row that is meant.

    Raises: bundle-tampered, golden-broken.
    """
    found = []
    for name in names_in(workspace.bundles):
        folder = workspace.bundles / name
        bundle = load_bundle(folder)
        golden = read_golden(folder)
        meant = sum(is_meant(row.inputs) for row in golden)
        # golden rows that stay may be of a dataset that somebody removed
        kept = [text for row in golden if not is_meant(row.inputs) for text in row.inputs.values()]
        seen = Words(words.gone, [*words.others, *kept])
        card = _card(folder, words.values)
        answers = words.answers & set(_settings(folder).get("answers", ()))
        one = Marked(bundle, meant, _terms(folder, seen), _pieces(folder, seen), answers, card)
        if one.golden or one.terms or one.pieces or one.answers or one.card is not None:
            found.append(one)
    return tuple(found)


def rewrite_bundle(
    workspace: Workspace,
    marked: Marked,
    *,
    is_meant: Callable[[Mapping[str, str]], bool],
    spare: Sequence[Mapping[str, str]],
    at: str,
) -> Bundle:
    """Publish the bundle that stands in this one's place; the old folder stays until servers have been told.

    Weights and label map are the same bytes. A term or token that only forgotten rows had loses its name: no
    text can have it any more. Where no golden row is left, new ones are made of `spare` inputs. A bundle whose model
    was touched is loaded and proven before it is given back.

    Raises: the codes of open_any, disk-full, not-writable.
    """
    old = workspace.bundles / marked.bundle.id
    changed: dict[str, bytes] = {}
    if marked.terms or marked.answers:
        settings = _without_terms(_settings(old), marked.terms)
        settings = _without_answers(settings, marked.answers)
        changed[SETTINGS] = json.dumps(settings, ensure_ascii=False, sort_keys=True).encode()
    if marked.pieces:
        tokenizer = (old / TOKENIZER_FILE).read_bytes()
        changed[TOKENIZER_FILE] = without_pieces(tokenizer, marked.pieces)
    if marked.card is not None:
        changed[CARD_FILE] = marked.card.encode()
    golden = tuple(row for row in read_golden(old) if not is_meant(row.inputs))
    if not golden:
        golden = _golden_of(old, marked.bundle, spare)
    changed[GOLDEN_FILE] = golden_text(golden).encode()
    digests = listed_digests(old) | {
        name: hashlib.sha256(data).hexdigest() for name, data in changed.items()
    }
    bundle = marked.bundle.model_copy(update={"id": identity(marked.bundle, digests), "at": at})
    target = workspace.bundles / bundle.id
    with lock(workspace, "bundles"), new_folder(target, checksum="sha256") as staging:
        for source in sorted(old.rglob("*")):
            name = source.relative_to(old).as_posix()
            if source.is_dir():
                (staging / name).mkdir(mode=0o700)
            elif name in changed:
                (staging / name).write_bytes(changed[name])
            elif name == BUNDLE_FILE:
                (staging / name).write_text(bundle.model_dump_json(indent=1), encoding="utf-8")
            elif name != "manifest.json":
                shutil.copyfile(source, staging / name)
    if marked.terms or marked.pieces or marked.answers:
        try:
            open_any(target, bundle_id=bundle.id)
        except BaseException:
            remove_folder(target)
            raise
    return load_bundle(target)


def _golden_of(
    folder: Path, bundle: Bundle, spare: Sequence[Mapping[str, str]]
) -> tuple[Golden, ...]:
    task, engine = load_task_of(folder), bundle.engine
    precision, tokens = bundle.precision, bundle.max_tokens
    if task.is_closed:
        fitted = load_engine(folder, task, engine=engine, precision=precision, max_tokens=tokens)
        # without any row left the names of the labels are texts as good as others
        inputs = list(spare) or [dict.fromkeys(task.inputs, name) for name in task.label_names]
        return make_golden(fitted, task, inputs)
    texts = load_text_engine(folder, task, engine=engine, precision=precision, max_tokens=tokens)
    text = write_conversation([_NOBODY]) if is_conversation(task) else _NOBODY.content
    return make_golden_texts(texts, task, list(spare) or [dict.fromkeys(task.inputs, text)])


def _card(folder: Path, values: Collection[tuple[str, str]]) -> str | None:
    old = new = (folder / CARD_FILE).read_text(encoding="utf-8")
    for column, value in values:
        name = f"- {slice_name(column, value)}: "
        new = new.replace(name, f"- {slice_name(column, MARK)}: ")
    return None if new == old else new


def _terms(folder: Path, words: Words) -> frozenset[str]:
    """The terms of a TF-IDF vocabulary that only the texts that go have."""
    settings = _settings(folder)
    terms_of = text_terms if settings.get("baseline") in TEXT_BASELINES else terms
    found = {term for text in words.gone for term in terms_of(text)} & set(
        settings.get("terms", ())
    )
    for text in words.others:
        if not found:
            break
        found -= set(terms_of(text))
    return frozenset(found)


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    return json.loads(path.read_bytes()) if path.is_file() else {}


def _without_terms(settings: dict[str, Any], gone: frozenset[str]) -> dict[str, Any]:
    if not gone:
        return settings
    terms = enumerate(settings["terms"])
    kept = [f"[forgotten {place}]" if term in gone else term for place, term in terms]
    return settings | {"terms": kept}


def _without_answers(settings: dict[str, Any], gone: frozenset[str]) -> dict[str, Any]:
    """Questions that were answered so get the answer that is given where nothing is known."""
    if not gone:
        return settings
    answers: list[str] = settings["answers"]
    instead = answers[settings["fallback"]]
    if instead in gone:
        instead = next((one for one in answers if one not in gone), MARK)
    return settings | {"answers": [instead if one in gone else one for one in answers]}


def _pieces(folder: Path, words: Words) -> frozenset[str]:
    if not (is_tiny(folder) and (folder / TOKENIZER_FILE).is_file()):
        return frozenset()
    return pieces_only_in((folder / TOKENIZER_FILE).read_bytes(), words.gone, words.others)
