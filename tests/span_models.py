"""For tests: tokenizers of many sorts, questions with answers in contexts, and trainings of a second on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from tokenizers import (
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from burnish.models.pretrained import open_pretrained
from burnish.models.source import BaseModel
from burnish.records.example import Example, Source, input_id, row_id
from burnish.records.label import Span, Spans
from burnish.records.task import Task

NAMES = ("Ada", "Bo", "Cem", "Dora", "Emil", "Fatma", "Gus", "Hana")
TOWNS = ("Paris", "Oslo", "Kyoto", "Lima", "Accra", "Perth", "Turin", "Quito")
CORPUS = [
    "The quick brown fox jumps over the lazy dog, who said: naïve café Ångström?",
    "Wo ist der Fluß? In Zürich; 1890s, 12.5 km. हिन्दी में पाठ 日本語 テキスト ﬁne ½",
    *(f"{name} lives in {town}." for name in NAMES for town in TOWNS),
]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
_PAIR = {
    "single": "[CLS] $A [SEP]",
    "pair": "[CLS] $A [SEP] $B:1 [SEP]:1",
    "special_tokens": [("[CLS]", 2), ("[SEP]", 3)],
}

# what tokenizers have trouble with: marks, pictures of many code points, line ends, half pairs of UTF-16 left out
nasty_texts = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "e\u0301", "é", "ﬁ", "½", "👩‍👩‍👧", "🇩🇪", "❤️", "\r\n", "\n", "\t", " ", "  ", "\u00a0", "\u3000", "\u200b",
                "\ufeff", "İ", "ß", "Å", "ｶﾞ", "日本", "हिन्दी", "שָׁלוֹם", "[SEP]", "[CLS]", "##", "\x00", "a\u0323\u0307", "㎒",
                "the", "Paris", "in 1890s", "don't", "…", "“x”",
            ]
        ),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=6),
    ),
    max_size=24,
).map("".join)  # fmt: skip


@cache
def tokenizers() -> dict[str, Tokenizer]:
    """One of each sort: word pieces without accents, bytes with and without trimmed offsets, Unigram after NFKC."""
    pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pieces.train_from_iterator(
        CORPUS,
        trainers.WordPieceTrainer(vocab_size=300, special_tokens=_SPECIAL, show_progress=False),
    )
    pieces.post_processor = processors.TemplateProcessing(**_PAIR)
    found = {"word pieces": pieces}
    for trim in (True, False):
        bytes_ = Tokenizer(models.BPE(unk_token="[UNK]"))
        bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bytes_.train_from_iterator(
            CORPUS,
            trainers.BpeTrainer(
                vocab_size=400,
                special_tokens=_SPECIAL,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                show_progress=False,
            ),
        )
        bytes_.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=trim),
                processors.TemplateProcessing(**{**_PAIR, "pair": "[CLS] $A [SEP] [SEP] $B [SEP]"}),
            ]
        )
        found[f"bytes, trimmed {trim}"] = bytes_
    unigram = Tokenizer(models.Unigram())
    unigram.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace("ß", "ss"), normalizers.Lowercase()]
    )
    unigram.pre_tokenizer = pre_tokenizers.Metaspace()
    unigram.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=300, special_tokens=_SPECIAL, unk_token="[UNK]", show_progress=False
        ),
    )
    unigram.post_processor = processors.TemplateProcessing(**_PAIR)
    return {**found, "unigram after NFKC": unigram}


def span_task(**changes: object) -> Task:
    """A task of questions about contexts."""
    fields: dict[str, object] = {
        "name": "towns",
        "kind": "extractive-qa",
        "inputs": ("question", "context"),
        "label": "answers",
        "primary_metric": "f1",
    }
    return Task.model_validate(fields | changes)


def town_rows(count: int, *, seed: int = 1, none_every: int = 5, most: int = 6) -> list[Example]:
    """Where does somebody live, asked of a few sentences; every so often the sentences do not say."""
    random = np.random.default_rng(seed)
    made: list[Example] = []
    for line in range(count):
        order = [str(name) for name in random.permutation(NAMES)]
        told = order[: int(random.integers(2, most + 1))]
        towns = [str(town) for town in random.choice(TOWNS, len(told))]
        context = " ".join(
            f"{name} lives in {town}." for name, town in zip(told, towns, strict=True)
        )
        none = none_every > 0 and line % none_every == none_every - 1
        asked = order[-1] if none else told[int(random.integers(len(told)))]
        spans = ()
        if not none:
            start = context.index(f"{asked} lives in ") + len(f"{asked} lives in ")
            spans = (Span(text=towns[told.index(asked)], start=start),)
        made.append(example(f"Where does {asked} live?", context, spans, line=line + 2))
    return made


def example(question: str, context: str, spans: Sequence[Span], *, line: int = 2) -> Example:
    where, inputs = f"towns.jsonl:{line}", {"question": question, "context": context}
    return Example(
        row_id=row_id(where=where, inputs=inputs, label=str(spans)),
        input_id=input_id(inputs),
        inputs=inputs,
        label=Spans(spans=tuple(spans)),
        source=Source(where=where),
    )


@cache
def span_base(root: Path, model_type: str = "bert") -> BaseModel:
    """A tiny base below `root` that learnt its words from the corpus."""
    return open_pretrained(
        f"tiny:{model_type}",
        cache=root,
        texts=lambda: [*CORPUS, *(f"Where does {name} live?" for name in NAMES)],
        announce=_silent(),
    )


def _silent() -> Callable[[str], None]:
    return lambda text: None
