"""The schema of task.toml: every key with its meaning, as JSON Schema for editors and other tools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from burnish.records.task import Task
from burnish.tasks.kind import KINDS
from burnish.tasks.sense import MAY_ROLL_BACK, RIVALS, SIGNALS, TEXT_RIVALS

SCHEMA_DIALECT = "https://json-schema.org/draft/2020-12/schema"

# One sentence per key; write.py prints some of them as comments, docs/define.md is tested to
# name every one of them.
NOTES: Mapping[str, str] = {
    "name": "What the task is called: in folders, model names and the server's `model` field.",
    "kind": "What is right: exactly one label (classification), any number (multilabel), one of an ordered scale, "
    "worst first (sentiment), a piece of a context (extractive-qa), or a text (qa, summarization, chat).",
    "inputs": "The text columns the model reads, in this order.",
    "label": "The column that holds the right answer.",
    "labels": "The closed set of labels; for sentiment in order, worst first. Not for kinds that write or find.",
    "labels[].name": "The label as models, reports and the server say it.",
    "labels[].description": "What the label means, for people who label and people who read.",
    "labels[].values": "Other exact spellings of this label in the data; the name always counts.",
    "separator": "What stands between several labels in one cell; multilabel only.",
    "group": "A column whose rows belong together (a customer, a patient): a group never crosses a "
    "split.",
    "guideline": "How a person decides between labels.",
    "instruction": "What a model that writes is told before each row.",
    "decoding": "How a model that writes chooses its tokens.",
    "decoding.max_new_tokens": "Most tokens of an answer, the stop token among them.",
    "decoding.temperature": "0 takes the likeliest token; above, tokens are drawn, the more evenly the higher.",
    "decoding.top_p": "Tokens are drawn from the likeliest that hold this share of the probability.",
    "decoding.beams": "So many answers are followed at once and the likeliest is kept.",
    "decoding.repetition_penalty": "Above 1 makes tokens less likely that stand in the text already.",
    "decoding.stop": "Texts that end an answer and do not belong to it.",
    "decoding.seed": "Decides what is drawn.",
    "decoding.json_schema": "The text of a JSON schema that every answer keeps.",
    "truncate": "How prompts longer than the model reads are cut: the beginning (left) or end (right) of the last turn, or "
    "the oldest turns (window); without it they are refused.",
    "test_rows": "So many of the test rows are answered, drawn with the seed: writing takes seconds a row.",
    "primary_metric": "The number that early stopping, comparison and the verdict look at.",
    "slices": "Columns whose values get a row of their own in the report.",
    "abstain_below": "Answers with a confidence under this are marked as abstained: a person should decide.",
    "audit": "Share of the answers, drawn at random, that people are asked to check.",
    "keep_inputs": 'What the server\'s journal keeps of each text: "full", or only its "hash".',
    "keep_days": "Days after which the journal forgets a text; its hash and its answer stay.",
    "redact": "What is taken out of a text before it is written to the journal.",
    "normalise": "Which differences between texts are none; applied in training, evaluation and serving alike.",
    "normalise.html": "HTML entities become their characters (&eacute; is é); tags stay.",
    "normalise.mojibake": "Text that was decoded wrongly is repaired (Ã© is é).",
    "normalise.unicode": 'The Unicode form: "NFC" joins letters and accents, "NFKC" also folds full-width '
    "letters, ligatures and the like.",
    "normalise.control": "Control characters are taken out, tab and line ends excepted.",
    "normalise.zero_width": "Characters without width are taken out, joiners that carry meaning excepted.",
    "normalise.whitespace": "Runs of blanks become one space; line breaks stay, at most two in a row.",
    "monitor": "How a deployed model is watched.",
    "monitor.window_rows": "Answers in a window; each window is tested once.",
    "monitor.alpha": "Chance that a window without any drift raises a look, over all signals together.",
    "monitor.embedded_rows": "Rows of a window, drawn at random, that go through the base model.",
    "monitor.latency_p95_ms": "Your promise: 95 of 100 answers take at most so many milliseconds.",
    "monitor.error_fraction": "Your promise: at most this share of requests fails.",
    "monitor.webhook": "The address that hears of looks and acts.",
    "retrain": "When a model is trained again, what the new one must keep, and who may promote it.",
    "retrain.start": 'Where training starts: at the "base" model, or at the "live" one.',
    "retrain.schedule": "A cron line in UTC: minute, hour, day, month, weekday (0 is Sunday).",
    "retrain.on_signals": "Signals whose look or act starts a retraining.",
    "retrain.on_labels": "So many new labels start a retraining.",
    "retrain.cooldown_hours": "Nothing starts within these hours after the last start.",
    "retrain.budget_minutes": "Nothing starts once so many minutes of training were spent within 30 days.",
    "retrain.slice_margin": "How much lower than the live model's the share of right answers may be in any slice.",
    "retrain.calibration_margin": "How much higher than the live model's the calibration error may be.",
    "retrain.latency_ratio": "How many times the live model's milliseconds a row may take.",
    "retrain.promote": 'Who makes a passed candidate answer: a "person", or this "policy" after its time in shadow.',
    "retrain.shadow_rows": "Silent answers before the policy promotes.",
    "retrain.rollback_on": "Signals that take the live version back without asking: an act of the audited accuracy, "
    "or a promise of your own that is surely broken.",
    "data": "Where the rows are, relative to task.toml.",
    "data.train": "Files to learn from; alone, they are split into train, validation and test.",
    "data.validation": "Files given for validation; honoured as they are.",
    "data.test": "Files given for the final test; honoured as they are.",
    "data.validation_fraction": "Share of the rows that become validation where no file is given.",
    "data.test_fraction": "Share of the rows that become test where no file is given.",
    "data.split": 'What becomes validation and test: rows drawn at "random", or the newest by "time".',
    "data.time": 'The column with the dates, for split = "time".',
    "data.licence": "What the rows may be used for, as the data card says it: an SPDX name such as cc-by-4.0.",
    "data.source": "Where the rows are from, for the data card.",
    "data.shape": "What the objects of JSON files are, where looking at them says something else.",
    "data.delimiter": "The one character between the fields of delimited files; found by itself without.",
    "data.repair_offsets": "Answers that stand elsewhere in their context than their offset says are taken from the "
    "nearest place; extractive-qa only.",
    "data.encoding": "The files' text encoding; found, or guessed and said, without.",
    "gates": "Promises the model must keep before it may be promoted.",
    "gates[].metric": "The metric the gate looks at.",
    "gates[].at_least": "The metric must reach this value.",
    "gates[].at_most": "The metric must not exceed this value.",
    "gates[].than": "Compare on the same test rows with this rival.",
    "gates[].margin": "How much worse than the rival is still accepted; 0 means not worse, with sure = true better.",
    "gates[].sure": "The lower end of the interval must pass, not only the measured value.",
}


def task_schema() -> dict[str, Any]:
    """The JSON Schema of task.toml, published as docs/task.schema.json.

    It says what a file's shape may be; what only a whole reading can tell (two labels with one
    spelling, a gate that asks for nothing) is `load_task`'s part.

    Example:
        >>> schema = task_schema()
        >>> schema["required"]
        ['name', 'kind', 'inputs', 'label', 'primary_metric']
    """
    schema = _without_null(Task.model_json_schema())
    definitions: dict[str, Any] = schema["$defs"]
    for definition in definitions.values():
        definition.pop("description", None)  # docstrings speak to programmers
    owners = {"": schema["properties"]}
    owners["labels[]"] = definitions["LabelSpec"]["properties"]
    owners["data"] = definitions["DataFiles"]["properties"]
    owners["gates[]"] = definitions["Gate"]["properties"]
    owners["normalise"] = definitions["Normalise"]["properties"]
    owners["decoding"] = definitions["Decoding"]["properties"]
    owners["monitor"] = definitions["Monitor"]["properties"]
    owners["retrain"] = definitions["Retrain"]["properties"]
    for section in ("normalise", "decoding", "monitor", "retrain"):
        del schema["properties"][section]["default"]  # its keys have theirs
    for key, note in NOTES.items():
        owner, _, leaf = key.rpartition(".")
        owners[owner][leaf]["description"] = note
    schema["title"] = "task.toml"
    schema["description"] = "What counts as right for one job, as Burnish reads it."
    schema["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": name}}},
            "then": {
                "properties": {
                    "primary_metric": {"enum": list(kind.metrics)},
                    **({"labels": {"minItems": 2}} if kind.answers == "labels" else {}),
                },
                "required": ["labels"] if kind.answers == "labels" else [],
            },
        }
        for name, kind in KINDS.items()
    ]
    definitions["Gate"]["properties"]["than"]["enum"] = list(dict.fromkeys((*RIVALS, *TEXT_RIVALS)))
    owners["retrain"]["on_signals"]["items"]["enum"] = list(SIGNALS)
    owners["retrain"]["rollback_on"]["items"]["enum"] = list(MAY_ROLL_BACK)
    return {"$schema": SCHEMA_DIALECT, **schema}


def _without_null(node: Any) -> Any:
    """The same schema where absence is the only null, because TOML has no other."""
    if isinstance(node, list):
        return [_without_null(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _without_null(value)
        for key, value in node.items()
        if not (key == "default" and value is None) and key != "title"
    }
    choices = [choice for choice in kept.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        del kept["anyOf"]
        kept = {**kept, **choices[0]}
    return kept
