"""The data card: README.md of a dataset version, for people and for the tools that read its YAML head."""

from __future__ import annotations

from collections.abc import Sequence

from burnish.data.reuse import WORN
from burnish.evaluate.markdown import code, plain, quoted
from burnish.records.dataset import Dataset, SplitRule
from burnish.records.edit import Edit
from burnish.records.report import Reuse
from burnish.records.task import Task

# The size classes of the Hugging Face dataset card, by the number of rows below which they end.
_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
)


def data_card(
    task: Task, dataset: Dataset, *, edits: Sequence[Edit] = (), reuse: Reuse | None = None
) -> str:
    """The card of one version; the same arguments give the same text.

    The head follows the Hugging Face dataset card: `license` only when task.toml says it. `edits` are those that
    acted, `reuse` how often the test rows were used.
    """
    return "\n".join(
        [
            *_head(task, dataset),
            *_rows(task, dataset),
            *_labels(task),
            *_splits(dataset, reuse),
            *_sources(task, dataset),
            *_findings(dataset),
            *_lineage(dataset, edits),
        ]
    )


def _head(task: Task, dataset: Dataset) -> list[str]:
    licence = task.data.licence if task.data else None
    size = next((name for limit, name in _SIZES if dataset.rows_used < limit), "n>1M")
    return [
        "---",
        *([f"license: {quoted(licence.lower())}"] if licence else []),
        f"pretty_name: {quoted(task.name)}",
        "task_categories:",
        "- text-classification",
        "size_categories:",
        f"- {size}",
        "tags:",
        "- burnish",
        "dataset_info:",
        "  features:",
        *(
            line
            for name in (*task.inputs, task.label)
            for line in (f"  - name: {quoted(name)}", "    dtype: string")
        ),
        "  splits:",
        *(
            line
            for count in dataset.counts
            for line in (f"  - name: {count.split}", f"    num_examples: {count.rows}")
        ),
        "---",
        "",
        f"# {plain(task.name)}, version {dataset.number} ({dataset.id})",
        "",
    ]


def _rows(task: Task, dataset: Dataset) -> list[str]:
    names = list(dict.fromkeys([*task.label_names, *(n for c in dataset.counts for n in c.labels)]))
    splits = [count.split for count in dataset.counts]
    lines = [
        f"{dataset.rows_in:,} rows in: {dataset.rows_used:,} used, "
        f"{sum(dataset.rejected.values()):,} kept out.",
        "",
        f"| label | {' | '.join(splits)} |",
        f"|---|{'---:|' * len(splits)}",
    ]
    lines += [
        f"| {plain(name)} | {' | '.join(f'{c.labels.get(name, 0):,}' for c in dataset.counts)} |"
        for name in names
    ]
    lines += [f"| **rows** | {' | '.join(f'{c.rows:,}' for c in dataset.counts)} |", ""]
    if dataset.rejected:
        lines += ["| kept out because | rows |", "|---|---:|"]
        lines += [f"| {plain(why)} | {count:,} |" for why, count in dataset.rejected.items()]
        lines.append("")
    return lines


def _labels(task: Task) -> list[str]:
    lines = ["## Label guide", ""]
    if task.guideline:
        lines += [plain(task.guideline), ""]
    lines += ["| label | meaning | also spelt |", "|---|---|---|"]
    lines += [
        f"| {plain(one.name)} | {plain(one.description) or '–'} "
        f"| {', '.join(code(value) for value in one.values) or '–'} |"
        for one in task.labels
    ]
    return [*lines, ""]


def _splits(dataset: Dataset, reuse: Reuse | None) -> list[str]:
    rule = dataset.rule or SplitRule()
    train, validation, test = dataset.shares
    given = [f"{code(file.name)} ({file.split})" for file in dataset.files if file.split != "train"]
    how = "by label and at random (hash of the text)"
    if rule.time is not None:
        moments = ", ".join(f"{split} from {moment}" for split, moment in rule.after.items())
        how = f"by time, column {code(rule.time)}: {moments or 'no moment is fixed'}"
    elif rule.group is not None:
        how = f"by label and at random (hash of {code(rule.group)}, else of the text)"
    lines = [
        "## Splits",
        "",
        f"- method: {how}; shares {train:.3g}, {validation:.3g}, {test:.3g}; salt {code(dataset.salt)}",
        "- no text, no near duplicate and no group is in two splits; published files are kept as published",
    ]
    if rule.group is not None:
        lines.append(f"- groups: {code(rule.group)}")
    if given:
        lines.append(f"- given: {', '.join(given)}")
    if reuse is not None:
        lines.append(f"- {reuse}. {WORN}.")
    return [*lines, ""]


def _sources(task: Task, dataset: Dataset) -> list[str]:
    licence = (task.data.licence if task.data else None) or "not said"
    source = (task.data.source if task.data else None) or "not said"
    lines = [
        "## Sources",
        "",
        f"- licence: {plain(licence)}",
        f"- source: {plain(source)}",
        "",
        "| file | rows | encoding | SHA-256 |",
        "|---|---:|---|---|",
    ]
    lines += [
        f"| {code(file.name)} | {file.rows:,} | {file.encoding or '–'} | {code(file.sha256)} |"
        for file in dataset.files
    ]
    return [*lines, ""]


def _findings(dataset: Dataset) -> list[str]:
    faults = [issue for issue in dataset.issues if issue.severity != "note"]
    notes = [issue for issue in dataset.issues if issue.severity == "note"]
    lines = ["## Known faults", ""]
    lines += [f"- {issue.severity} {code(issue.code)}: {plain(issue.what)}" for issue in faults]
    lines += [] if faults else ["The checks found none."]
    lines += ["", "## Checks", "", "| finding | severity | count |", "|---|---|---:|"]
    lines += [
        f"| {code(issue.code)} | {issue.severity} | {issue.count:,} |" for issue in dataset.issues
    ]
    lines += ["", *[f"- {code(issue.code)}: {plain(issue.what)}" for issue in notes]]
    return [*lines, ""]


def _lineage(dataset: Dataset, edits: Sequence[Edit]) -> list[str]:
    lines = [
        "## Lineage",
        "",
        f"- version {dataset.number}, id {code(dataset.id)}, made {dataset.at}",
        f"- parent: {code(dataset.parent_id) if dataset.parent_id else 'none'}",
        f"- task: {code(dataset.task_id)}",
        f"- SHA-256 of the rows: {code(dataset.rows_sha256)}",
        "",
    ]
    if edits:
        lines += [
            "| edit | does | to | finding | rows | by | at |",
            "|---|---|---|---|---:|---|---|",
        ]
        lines += [
            f"| {code(one.id)} | {one.action} | {plain('+'.join(one.to or one.kinds)) or '–'} "
            f"| {code(one.code)} | {len(one.keys):,} | {plain(one.by)} | {one.at} |"
            for one in edits
        ]
        lines.append("")
    return lines
