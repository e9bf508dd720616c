"""Texts longer than the model reads."""

from __future__ import annotations

from burnish.data.evidence import Evidence, places
from burnish.records.dataset import Issue

CODE = "text-too-long"


def check(evidence: Evidence) -> tuple[Issue, ...]:
    """One issue: how many rows would lose their end, and how much. Silent without a model to count for."""
    if evidence.token_lengths is None or evidence.limit_tokens is None:
        return ()
    examples = list(evidence.all_examples())
    lengths = evidence.token_lengths([example.inputs for example in examples])
    limit = evidence.limit_tokens
    long = [
        (length, example)
        for length, example in zip(lengths, examples, strict=True)
        if length > limit
    ]
    if not long:
        return ()
    lost = sum(length - limit for length, _ in long)
    longest = max(length for length, _ in long)
    return (
        Issue(
            code=CODE,
            severity="warning",
            what=f"{len(long)} of {len(examples)} rows are longer than the {limit} tokens the model "
            f"reads; their ends are cut ({lost} of {sum(lengths)} tokens, "
            f"the longest row has {longest})",
            count=len(long),
            rows=places(example for _, example in sorted(long, key=lambda pair: -pair[0])),
            fix="raise max_tokens if the model allows it, or shorten the texts",
        ),
    )
