"""What a retraining learns from: the parent's rows, the files as they are now, and feedback up to a number."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.data.dataset import load_rows
from burnish.data.edits import edits_of
from burnish.data.evidence import TokenLengths
from burnish.data.examples import read_examples
from burnish.data.inherit import Inherited
from burnish.data.tombstones import without_forgotten
from burnish.deploy.deployments import deployments
from burnish.errors import BurnishError
from burnish.records.dataset import Dataset
from burnish.records.deployment import Feedback
from burnish.records.task import Task
from burnish.retrain.child import child_dataset
from burnish.retrain.merge import Given, merge
from burnish.store.feedback import feedback
from burnish.store.journal import find_many
from burnish.store.ledger import Ledger
from burnish.store.workspace import Workspace


def next_dataset(
    task: Task,
    workspace: Workspace,
    ledger: Ledger,
    *,
    parent: Dataset,
    feedback_until: int,
    shares: tuple[float, float, float],
    at: str,
    token_lengths: TokenLengths | None,
    limit_tokens: int | None,
    memory: Inherited | None = None,
    number: int | None = None,
) -> Dataset:
    """The child of `parent` with what the files and people have added since.

    Files that are gone add nothing, and the parent's rows are kept: only the dataset is needed to train again.

    Raises: nothing-new, and the codes of child_dataset.
    """
    merged = merge(
        task,
        load_rows(workspace, parent.id),
        given_until(task, ledger, until=feedback_until),
    )
    try:
        read = without_forgotten(workspace, read_examples(task, workspace.root))
    except BurnishError as error:
        if {problem.code for problem in error.problems} != {"file-missing"}:
            raise
        read = None
    return child_dataset(
        task,
        workspace,
        parent=parent,
        read=read,
        merged=merged,
        salt=parent.salt,
        shares=shares,
        edits=edits_of(ledger, task.name),
        memory=memory,
        number=number,
        at=at,
        token_lengths=token_lengths,
        limit_tokens=limit_tokens,
    )


def given_until(task: Task, ledger: Ledger, *, until: int, after: int = 0) -> list[Given]:
    """Feedback on the task's versions, retired and deleted ones too, numbered above `after` and up to `until`."""
    versions = {one.version for one in deployments(ledger, task.name)}
    said = [one for number, one in feedback(ledger, after=after) if number <= until]
    known = find_many(ledger, [one.prediction_id for one in said])
    return [
        Given(one, known[one.prediction_id].prediction)
        for one in said
        if one.prediction_id in known and known[one.prediction_id].prediction.version in versions
    ]


def usable(said: Sequence[Feedback]) -> int:
    """How many pieces of feedback say which answer is right."""
    return sum(one.right or one.labels is not None or one.text is not None for one in said)
