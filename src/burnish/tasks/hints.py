"""What a column's name suggests: word lists only, so that a better word is a one-line change."""

from __future__ import annotations

import re
from collections.abc import Mapping

# How strongly a word in a column's name says "this is the answer".
LABEL_WORDS: Mapping[str, float] = {
    "label": 1.0, "labels": 1.0, "intent": 1.0, "intents": 1.0, "class": 1.0, "classes": 1.0,
    "sentiment": 1.0, "polarity": 1.0, "gold": 0.9, "target": 0.9, "annotation": 0.9, "y": 0.9,
    "category": 0.85, "categories": 0.85, "topic": 0.85, "topics": 0.85, "emotion": 0.85,
    "score": 0.8, "rating": 0.8, "stars": 0.8, "spam": 0.8, "toxic": 0.8, "stance": 0.8,
    "satisfaction": 0.7, "csat": 0.7, "verdict": 0.7, "tag": 0.6, "tags": 0.6, "queue": 0.6,
    "department": 0.6, "team": 0.6, "outcome": 0.6, "decision": 0.6, "output": 0.5, "type": 0.5,
    "kind": 0.5, "answer": 0.4, "header": 0.4, "section": 0.4, "code": 0.3, "priority": 0.3,
    "status": 0.3, "result": 0.3,
}  # fmt: skip

# Words that say "this describes the row, it is not the answer".
CONTEXT_WORDS = frozenset({
    "channel", "source", "language", "lang", "locale", "country", "region", "city", "video",
    "product", "brand", "store", "domain", "split", "fold", "version", "device", "platform",
    "template", "annotator", "gender", "age", "role", "agent", "year", "month", "day", "weekday",
})  # fmt: skip

# Words that say "how good or bad", so that numbers in the column are an ordered scale.
SCALE_WORDS = frozenset({
    "sentiment", "polarity", "score", "rating", "ratings", "stars", "star", "satisfaction", "csat",
    "nps", "opinion", "mood", "valence", "grade", "positive",
})  # fmt: skip

TEXT_WORDS = frozenset({
    "text", "sentence", "content", "body", "message", "comment", "review", "instruction",
    "question", "query", "utterance", "dialogue", "dialog", "document", "description", "abstract",
    "tweet", "post", "ticket", "note", "notes", "input", "prompt", "passage", "article",
    "transcript", "email", "mail", "request", "complaint", "feedback", "narrative",
})  # fmt: skip

# Text that is written after the answer is known: an input of this kind would give it away.
AFTERWARDS_WORDS = frozenset({
    "response", "answer", "reply", "output", "completion", "summary", "resolution", "solution",
    "explanation", "rationale", "reason", "prediction", "predicted",
})  # fmt: skip

# A short text that belongs in front of the long one.
HEAD_WORDS = frozenset({"subject", "title", "headline", "heading"})

# Two texts that are judged together.
PAIRS: tuple[tuple[str, str], ...] = (
    ("premise", "hypothesis"), ("sentence1", "sentence2"), ("question1", "question2"),
    ("text1", "text2"), ("text_a", "text_b"), ("sentence_a", "sentence_b"), ("query", "document"),
    ("question", "passage"), ("question", "context"), ("context", "question"),
)  # fmt: skip

GROUP_WORDS = frozenset({
    "customer", "client", "user", "author", "patient", "account", "member", "person", "speaker",
    "session", "conversation", "thread", "household", "subscriber", "reviewer", "participant",
    "subject_id", "group", "respondent", "case",
})  # fmt: skip

IDENTIFIER_WORDS = frozenset({"id", "uid", "uuid", "guid", "key", "index", "idx", "nr", "number"})


def words(name: str) -> tuple[str, ...]:
    """The words of a column's name, lower case.

    Example:
        >>> words("customerID"), words("condition_label"), words("CONTENT")
        (('customer', 'id'), ('condition', 'label'), ('content',))
    """
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(word for word in re.split(r"[^\w]+|_+", parted.casefold()) if word)


def label_hint(name: str) -> float:
    """How strongly the name says "answer": 0 to 1, negative for a word of text or context.

    Example:
        >>> label_hint("condition_label"), label_hint("channel"), label_hint("x")
        (1.0, -0.5, 0.0)
    """
    named = words(name)
    hint = max((LABEL_WORDS.get(word, 0.0) for word in named), default=0.0)
    if any(word in IDENTIFIER_WORDS or word in CONTEXT_WORDS for word in named):
        return hint - 0.5
    if hint == 0 and any(word in TEXT_WORDS or word in HEAD_WORDS for word in named):
        return -0.5
    return hint


def says(name: str, vocabulary: frozenset[str]) -> bool:
    """Whether any word of the column's name is in the vocabulary."""
    return any(word in vocabulary for word in words(name))
