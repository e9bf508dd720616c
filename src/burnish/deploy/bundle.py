"""The bundle: a model folder in the Hugging Face layout with everything needed to answer and to prove it.

config.json, model.safetensors, tokenizer.json, ...   what the engine reads; plain transformers too
README.md                                             the model card
burnish/task.json, burnish/label_map.json             what counts as right; label by number
burnish/golden.jsonl                                  rows whose ids and probabilities must come out again
burnish/bundle.json                                   who it is: the Bundle record
adapter/, burnish/adapter.json                        for models tuned with adapters: what was learnt alone, and on what
manifest.json                                         SHA-256 of every file
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import pydantic

from burnish.deploy.adapter import read_adapter
from burnish.deploy.engine import load_engine, load_text_engine
from burnish.deploy.golden import GOLDEN_FILE, golden_text, make_golden, verify_golden
from burnish.deploy.golden_text import make_golden_texts, verify_golden_texts
from burnish.deploy.host import Host, Hosted
from burnish.errors import BurnishError, Problem, fail
from burnish.records.deployment import Bundle
from burnish.records.record import content_id
from burnish.records.report import Verdict
from burnish.records.task import Task
from burnish.store.durable import make_folder, new_folder, verify_folder
from burnish.store.faults import is_full, told
from burnish.store.manifest import MANIFEST_NAME, checksum_of
from burnish.store.temporaries import clear_quietly
from burnish.store.workspace import Workspace, lock

if TYPE_CHECKING:
    from burnish.models.fitted import Fitted
    from burnish.models.fitted_text import FittedText

__all__ = [
    "Opened",
    "OpenedText",
    "identity",
    "load_bundle",
    "make_bundle",
    "open_any",
    "open_bundle",
    "open_text_bundle",
    "verify_golden",
]

Precision = Literal["fp32", "bf16"]

BUNDLE_FILE = "burnish/bundle.json"
TASK_FILE = "burnish/task.json"
LABEL_MAP_FILE = "burnish/label_map.json"
CARD_FILE = "README.md"
# Fixed name under a lock, so that what a killed process left is found and removed by the next.
_DRAFT = ".draft"


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle that was verified and loaded, ready to answer."""

    bundle: Bundle
    task: Task
    fitted: Fitted


@dataclass(frozen=True, slots=True)
class OpenedText:
    """The same for a task whose answers are texts. `hosted` where a host holds its weights."""

    bundle: Bundle
    task: Task
    fitted: FittedText
    hosted: Hosted | None = None

    @property
    def shares_base(self) -> bool:
        """Whether its weights are a base's, and an adapter's."""
        return self.hosted is not None and self.hosted.shares_base


def make_bundle(
    task: Task,
    fitted: Fitted | FittedText,
    *,
    model_folder_writer: Callable[[Path], None],
    workspace: Workspace,
    engine: str,
    run_id: str | None,
    dataset_id: str,
    report_id: str,
    golden_inputs: Sequence[Mapping[str, str]],
    precision: Precision,
    max_tokens: int,
    card: str,
    at: str,
    verdict: Verdict | None = None,
    host: Host | None = None,
) -> Bundle:
    """Write a bundle, load it again as a server would, and publish it only when it answers the same.

    `model_folder_writer` writes the engine's files into the folder it is given. The golden rows come
    from `fitted`, the model that was evaluated; the reloaded one must reproduce them. The same
    content gives the same id, and a bundle that exists is left as it is. With `host` an adapter in the bundle must
    reproduce them on its base too.

    Raises: bundle-differs when the written model does not reproduce the golden rows, merge-differs when its adapter
    does not; golden-broken without golden inputs; disk-full, not-writable.
    """
    task = task.model_copy(update={"data": None})
    golden = (
        make_golden(cast("Fitted", fitted), task, golden_inputs)
        if task.is_closed
        else make_golden_texts(cast("FittedText", fitted), task, golden_inputs)
    )
    unnamed = Bundle(
        id="",
        task_name=task.name,
        task_id=task.id,
        engine=engine,
        run_id=run_id,
        dataset_id=dataset_id,
        report_id=report_id,
        precision=precision,
        max_tokens=max_tokens,
        verdict=verdict,
        at=at,
    )
    with lock(workspace, "bundles"):
        draft = workspace.bundles / _DRAFT
        clear_quietly(draft)
        make_folder(draft / "burnish")
        try:
            model_folder_writer(draft)
            for name, text in {
                TASK_FILE: task.model_dump_json(indent=1),
                LABEL_MAP_FILE: _label_map(task),
                GOLDEN_FILE: golden_text(golden),
                CARD_FILE: card,
            }.items():
                (draft / name).write_text(text, encoding="utf-8")
            _prove(draft, task, unnamed, host)
            bundle = unnamed.model_copy(update={"id": identity(unnamed, _digests(draft))})
            _publish(draft, bundle, workspace.bundles / bundle.id)
        except Exception as error:
            if is_full(error) or isinstance(error, OSError):
                needs_bytes = max(4096, _bytes(draft))
                raise told(error, workspace.bundles, needs_bytes=needs_bytes) from error
            raise
        finally:
            clear_quietly(draft)
    # an equal bundle made earlier was left as it is: its own record is the true one
    return load_bundle(workspace.bundles / bundle.id)


def load_bundle(folder: Path) -> Bundle:
    """The record of a bundle whose every byte is as published.

    The manifest is checked file by file, and the id is computed again from the digests, so that a
    manifest written to match changed files is found too.

    Raises: bundle-tampered naming each file; bundle-missing.
    """
    if not (folder / MANIFEST_NAME).is_file():
        raise fail(
            "bundle-missing",
            f"no bundle named {folder.name}",
            expected="a folder with a manifest",
            fix="burnish deployments shows the bundles; burnish run makes one",
        )
    problems = verify_folder(folder)
    if problems:
        raise BurnishError(tuple(_tampered(_inside(folder, p.where), p.what) for p in problems))
    try:
        bundle = Bundle.model_validate_json((folder / BUNDLE_FILE).read_bytes())
    except (OSError, pydantic.ValidationError) as error:
        raise BurnishError((_tampered(BUNDLE_FILE, "it is not a bundle record"),)) from error
    if bundle.id != identity(bundle, listed_digests(folder)):
        what = f"the files listed are not those of bundle {bundle.id}"
        raise BurnishError((_tampered(MANIFEST_NAME, what),))
    return bundle


def load_task_of(folder: Path) -> Task:
    """The task a bundle answers.

    Raises: bundle-tampered.
    """
    try:
        return Task.model_validate_json((folder / TASK_FILE).read_bytes())
    except (OSError, pydantic.ValidationError) as error:
        raise BurnishError((_tampered(TASK_FILE, "it is not a task"),)) from error


def open_any(
    folder: Path, *, bundle_id: str | None = None, host: Host | None = None
) -> Opened | OpenedText:
    """Verify a bundle's bytes, load its model, recompute its golden rows: only then may it answer.

    `bundle_id` is the id that was promoted; a folder holding another bundle is refused. With `host` a model
    that writes answers on weights that the host holds, where it has them: on a base that it shares with others, or in
    vLLM. Its golden rows hold it to its own merged weights all the same.

    Raises: bundle-missing, bundle-tampered, golden-broken, golden-ids-differ, golden-probabilities-differ,
    golden-texts-differ, engine-unknown, and what the engine raises.
    """
    bundle = load_bundle(folder)
    if bundle_id is not None and bundle.id != bundle_id:
        raise BurnishError((_tampered(BUNDLE_FILE, f"it is bundle {bundle.id}, not {bundle_id}"),))
    task = load_task_of(folder)
    opened, problems = _loaded(folder, task, bundle, host)
    if problems:
        raise BurnishError(problems)
    return opened


def open_bundle(folder: Path, *, bundle_id: str | None = None) -> Opened:
    """The same for a bundle that answers with labels.

    Raises: bundle-other-kind, and the codes of open_any.
    """
    opened = open_any(folder, bundle_id=bundle_id)
    if isinstance(opened, OpenedText):
        raise _other_kind(opened.task, wanted="labels of a closed set")
    return opened


def open_text_bundle(
    folder: Path, *, bundle_id: str | None = None, host: Host | None = None
) -> OpenedText:
    """The same for a bundle that answers with texts.

    Raises: bundle-other-kind, and the codes of open_any.
    """
    opened = open_any(folder, bundle_id=bundle_id, host=host)
    if isinstance(opened, Opened):
        raise _other_kind(opened.task, wanted="texts")
    return opened


def _loaded(
    folder: Path, task: Task, bundle: Bundle, host: Host | None = None
) -> tuple[Opened | OpenedText, tuple[Problem, ...]]:
    """A bundle's model and what is wrong with its golden rows."""
    engine, precision, tokens = bundle.engine, bundle.precision, bundle.max_tokens
    if task.is_closed:
        fitted = load_engine(folder, task, engine=engine, precision=precision, max_tokens=tokens)
        return Opened(bundle, task, fitted), verify_golden(fitted, task, folder, precision)
    hosted = host.open(folder, task, bundle) if host is not None else None
    if hosted is None:
        texts = load_text_engine(
            folder, task, engine=engine, precision=precision, max_tokens=tokens
        )
        problems = verify_golden_texts(texts, task, folder, precision)
        return OpenedText(bundle, task, texts), problems
    problems = verify_golden_texts(hosted.fitted, task, folder, precision, limit=hosted.limit)
    return OpenedText(bundle, task, hosted.fitted, hosted), problems


def _other_kind(task: Task, *, wanted: str) -> BurnishError:
    return fail(
        "bundle-other-kind",
        f'it answers a task of kind "{task.kind}"',
        expected=f"a bundle that answers with {wanted}",
        fix="name a version of the other kind: burnish deployments lists them",
    )


def _publish(draft: Path, bundle: Bundle, target: Path) -> None:
    with new_folder(target, checksum="sha256") as staging:
        for source in sorted(draft.rglob("*")):
            place = staging / source.relative_to(draft)
            if source.is_dir():
                place.mkdir(mode=0o700)
            else:
                source.replace(place)
        (staging / BUNDLE_FILE).write_text(bundle.model_dump_json(indent=1), encoding="utf-8")


def _prove(draft: Path, task: Task, bundle: Bundle, host: Host | None) -> None:
    """Load what was written as a server would; raise when it does not answer as the fitted model did."""
    _, problems = _loaded(draft, task, bundle)
    if problems:
        raise BurnishError((_differs(len(problems)), *problems))
    if host is None or read_adapter(draft) is None:
        return
    _, problems = _loaded(draft, task, bundle, host)
    if problems:
        what = f"the adapter answers {len(problems)} golden rows otherwise than the merged weights"
        raise BurnishError((_differs(len(problems), "merge-differs", what), *problems))


def identity(bundle: Bundle, digests: Mapping[str, str]) -> str:
    """The id of a bundle with these files (SHA-256 by name, the record itself left out)."""
    facts = bundle.model_dump(mode="json", exclude={"id", "at"})
    return content_id({"bundle": facts, "files": dict(digests)})


def _digests(draft: Path) -> dict[str, str]:
    """SHA-256 of every file by path, computed."""
    return {
        path.relative_to(draft).as_posix(): checksum_of(path, "sha256")
        for path in sorted(draft.rglob("*"))
        if path.is_file()
    }


def listed_digests(folder: Path) -> dict[str, str]:
    """The same, read from a manifest that was just verified. The record is left out: it holds the id."""
    manifest = json.loads((folder / MANIFEST_NAME).read_bytes())
    if manifest["checksum"] != "sha256":
        what = f"it uses {manifest['checksum']}, which does not stand against malice"
        raise BurnishError((_tampered(MANIFEST_NAME, what),))
    return {f["name"]: f["checksum"] for f in manifest["files"] if f["name"] != BUNDLE_FILE}


def _bytes(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    except OSError:
        return 0  # the disk is gone; the first failure is the one to tell


def _inside(folder: Path, where: str) -> str:
    """A place without the path above the bundle, fit to be shown to anybody."""
    place = Path(where)
    return place.relative_to(folder).as_posix() if place.is_relative_to(folder) else place.name


def _label_map(task: Task) -> str:
    names = task.label_names
    by_number = {str(number): name for number, name in enumerate(names)}
    by_name = {name: number for number, name in enumerate(names)}
    return json.dumps({"id2label": by_number, "label2id": by_name}, indent=1, ensure_ascii=False)


def _differs(wrong: int, code: str = "bundle-differs", what: str = "") -> Problem:
    return Problem(
        code=code,
        what=what or f"the written model answers {wrong} golden rows differently",
        expected="what the evaluated model answers",
        fix="nothing was published; report this with the lines below",
    )


def _tampered(where: str, what: str) -> Problem:
    return Problem(
        code="bundle-tampered",
        where=where,
        what=what,
        expected="the bytes that were published",
        fix="burnish rollback, or make the bundle again with burnish run",
    )
