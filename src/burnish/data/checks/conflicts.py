"""The same text with different labels: nobody can learn both, and no measure can reward both."""

from __future__ import annotations

from burnish.data.evidence import Evidence, by_input, disagree, excerpt, places
from burnish.records.dataset import Issue
from burnish.records.label import label_names

CODE = "label-conflict"


def check(evidence: Evidence) -> tuple[Issue, ...]:
    """One issue: how many texts are answered in more than one way, in how many rows."""
    groups = [same for same in by_input(evidence.all_examples()).values() if disagree(same)]
    if not groups:
        return ()
    rows = [example for same in groups for example in same]
    said = dict.fromkeys(
        "+".join(label_names(example.label)) if example.label else "no label"
        for example in groups[0]
    )
    what = (
        f"{len(groups)} texts carry different labels ({len(rows)} rows), "
        f"for instance {excerpt(groups[0][0])}: {', '.join(said)}"
    )
    published = {
        example.row_id
        for split, examples in evidence.examples.items()
        if split != "train"
        for example in examples
    }
    kept = sum(example.row_id in published for example in rows)
    if kept:
        what += f"; {kept} of them stand in given test or validation files and stay as published"
    return (
        Issue(
            code=CODE,
            severity="warning",
            what=what,
            count=len(rows),
            rows=places(rows),
            fix="decide which label is right and correct the file; until then these rows train nothing",
        ),
    )
