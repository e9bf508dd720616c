"""Talk to versions without a server: the same codec, the same tokens, nothing journalled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from burnish.curate import Prepared
from burnish.data.normalise import normalise_turns
from burnish.errors import fail
from burnish.project import Edge, Project
from burnish.records.decoding import Decoding
from burnish.records.message import Message
from burnish.records.task import Task
from burnish.serve.spoken import Spoken
from burnish.writing import fetch

if TYPE_CHECKING:
    from burnish.models.chat_model import ChatModel

BASE = "base"


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """A model that talks: a version, or the base model it was tuned from."""

    name: str
    task: Task
    chat: ChatModel

    def say(self, turns: Sequence[Message], decoding: Decoding) -> Iterator[str]:
        """The answer to a conversation, piece by piece; joined they are the whole answer.

        Raises: prompt-too-long, and the codes of rendering and generation.
        """
        turns = normalise_turns(self.task.normalise, turns)
        codec = self.chat.codec.with_room(new_tokens=decoding.max_new_tokens)
        prompt = codec.prompt(turns, where="conversation")
        spoken = Spoken(self.chat, decoding)
        for piece in self.chat.pieces([prompt], decoding, seeds=[decoding.seed]):
            if text := spoken.hear(piece):
                yield text


def open_voice(project: Project, edge: Edge, *, version: str | None) -> Voice:
    """A version that writes (None: the live one), its bytes and golden rows verified.

    Raises: task-answers-otherwise, nothing-live, version-unknown, and the codes of open_any.
    """
    from burnish.deploy.versions import open_version
    from burnish.models.chat_model import ChatModel

    found = open_version(project.workspace, project.task.name, version=version)
    fitted, name = found.opened.fitted, found.deployment.version
    if not isinstance(fitted, ChatModel):
        raise fail(
            "task-answers-otherwise",
            f'{name} answers with the engine "{found.opened.bundle.engine}", which writes nothing',
            expected="a version whose model writes",
            fix="name one with --version, or ask with burnish predict",
        )
    edge.announce(f"{name}: {found.opened.task.kind}, {found.opened.bundle.engine}")
    return Voice(name, found.opened.task, fitted)


def open_base(project: Project, edge: Edge, *, version: str | None) -> Voice:
    """The base model that a version (None: the live one) was tuned from, with the version's template and limits.

    Raises: task-answers-otherwise for a version that nobody trained, and the codes of fetch.
    """
    from burnish.data.dataset import load_dataset, load_rows
    from burnish.data.tombstones import standing
    from burnish.deploy.bundle import load_bundle, load_task_of
    from burnish.deploy.versions import named_or_live
    from burnish.models.chat_model import open_chat_model
    from burnish.train.runs import load_run

    workspace = project.workspace
    found = named_or_live(workspace, project.task.name, version=version)
    folder = workspace.bundles / found.bundle_id
    bundle, task = load_bundle(folder), load_task_of(folder)
    if bundle.run_id is None:
        raise fail(
            "task-answers-otherwise",
            f"{found.version} was not trained, so it has no base model",
            expected="a fine-tuned version",
            fix="leave --with base out",
        )
    recipe = load_run(workspace.runs / bundle.run_id).recipe
    dataset = load_dataset(workspace, standing(workspace, bundle.dataset_id))
    prepared = Prepared(dataset, load_rows(workspace, dataset.id))
    base = fetch(project, prepared, recipe, edge)
    chat = open_chat_model(
        base.folder,
        precision=bundle.precision,
        max_tokens=bundle.max_tokens,
        new_tokens=task.decoding.max_new_tokens,
        template=recipe.template,
        truncate=task.truncate,
    )
    return Voice(f"{BASE} ({recipe.base})", task, chat)


def first_turns(task: Task) -> tuple[Message, ...]:
    """What stands before the first line of a conversation: the instruction of a chat.

    Example:
        >>> task = Task(name="t", kind="chat", inputs=("messages",), label="messages", primary_metric="chrf",
        ...             instruction="Be kind.")
        >>> [(one.role, one.content) for one in first_turns(task)]
        [('system', 'Be kind.')]
    """
    if task.kind == "chat" and task.instruction:
        return (Message(role="system", content=task.instruction),)
    return ()


def asked(task: Task, line: str) -> tuple[Message, ...]:
    """A line as a question of its own, for kinds that answer one row at a time: as training rendered it.

    Raises: input-missing for a task with several inputs.
    """
    from burnish.tasks.kind import writing_kind_of

    if len(task.inputs) != 1:
        raise fail(
            "input-missing",
            f"one line cannot hold {', '.join(task.inputs)}",
            expected="a task with one input, or a chat",
            fix="burnish predict FILE  answers rows with several columns",
        )
    return writing_kind_of(task).prompt(task, {task.inputs[0]: line})
