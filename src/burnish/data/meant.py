"""Which label a spelling that the task does not know was meant to be: a proposal, or a question, never a guess."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from burnish.data.normalise import normalise
from burnish.records.task import Normalise, Task
from burnish.tasks.labelset import SLIP_RATIO, keys_apart

# A typing mistake is proposed only for words this long: "cars" is not a slip of "cats".
SHORTEST_ONE_KEY = 5
SHORTEST_TWO_KEYS = 9
SHORTEST_PLURAL = 4
# Beyond so many unknown spellings the column holds no labels; the commonest are looked at for typing mistakes.
MOST_COMPARED = 1_000

_EVERYTHING = Normalise(
    html=True, mojibake=True, unicode="NFKC", control=True, zero_width=True, whitespace=True
)
# Blanks, _ , - and . between words, where one of the two sides is a letter: "1-2" is not "12", nor "A-" "A".
_BETWEEN = re.compile(r"(?<=[^\W\d_])[\s_.-]+(?=[^\W_])|(?<=[^\W_])[\s_.-]+(?=[^\W\d_])")
_AROUND = "\"'“”‘’«» \t\r\n"
_WHOLE_NUMBER = re.compile(r"([-+]?\d+)\.0+")


@dataclass(frozen=True, slots=True)
class Meant:
    """A spelling, the one label that it may stand for, and what the two differ in."""

    spelling: str
    label: str
    rows: int
    differs_in: str


@dataclass(frozen=True, slots=True)
class Question:
    """Spellings that nothing decides; `labels` are those that come near."""

    spellings: tuple[str, ...]
    rows: int
    what: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Spellings:
    """What may be merged and what a person has to say, the most rows first."""

    meant: tuple[Meant, ...]
    questions: tuple[Question, ...]


def meant(task: Task, counts: Mapping[str, int]) -> Spellings:
    """A label for each unknown spelling where exactly one comes into question; declared labels stay apart.

    A difference in blanks, damaged characters, case, separators, a number's ".0" or accents is proposed whatever
    the counts. A plural or a typing mistake is proposed when the label is at least ten times as frequent and no
    second label is as near.

    Example:
        >>> from burnish.records.task import LabelSpec
        >>> task = Task(name="t", kind="classification", inputs=("text",), label="y", primary_metric="accuracy",
        ...             labels=(LabelSpec(name="card_arrival"), LabelSpec(name="refund")))
        >>> found = meant(task, {"refund": 50, "Refund ": 3, "refnud": 1, "Card arrival": 9, "cancel": 4})
        >>> [(one.spelling, one.label, one.differs_in) for one in found.meant]
        [('Card arrival', 'card_arrival', 'blanks, _ and -'), ('Refund ', 'refund', 'case'), ('refnud', 'refund', 'typing')]
        >>> [one.spellings for one in found.questions]
        [('cancel',)]
    """
    owners = {value: one.name for one in task.labels for value in (*one.values, one.name)}
    support: Counter[str] = Counter()
    for spelling, rows in counts.items():
        if spelling in owners:
            support[owners[spelling]] += rows
    alike = [_by_form(owners, form) for _, form in _LEVELS]
    unknown = sorted(
        ((spelling, rows) for spelling, rows in counts.items() if spelling not in owners),
        key=lambda pair: (-pair[1], pair[0]),
    )
    found: list[Meant] = []
    questions: list[Question] = [*_declared_alike(alike)]
    strangers: list[tuple[str, int]] = []
    for place, (spelling, rows) in enumerate(unknown):
        one = _same(spelling, rows, alike)
        if one is None and place < MOST_COMPARED:
            one = _slip(spelling, rows, owners, support)
        if isinstance(one, Meant) and not _writable(spelling):
            one = Question((spelling,), rows, "cannot be written in a file", (one.label,))
        if isinstance(one, Meant):
            found.append(one)
        elif one is not None:
            questions.append(one)
        else:
            strangers.append((spelling, rows))
    questions += _strangers(strangers)
    questions.sort(key=lambda question: -question.rows)
    return Spellings(tuple(found), tuple(questions))


def _writable(spelling: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in spelling)


def _clean(spelling: str) -> str:
    # a control character or a damaged one is never what two labels differ in
    return normalise(_EVERYTHING, spelling).strip(_AROUND)


def _folded(spelling: str) -> str:
    return _clean(spelling).casefold()


def _joined(spelling: str) -> str:
    return _BETWEEN.sub("", _folded(spelling))


def _number(spelling: str) -> str:
    found = _WHOLE_NUMBER.fullmatch(_folded(spelling))
    return found[1] if found else _joined(spelling)


def _bare(spelling: str) -> str:
    letters = unicodedata.normalize("NFKD", _number(spelling))
    # marks of Latin, Greek and Cyrillic; in other scripts a mark is a vowel
    return re.sub("[\u0300-\u036f]", "", letters).replace("ß", "ss")


Form = Callable[[str], str]
# Each level forgets one more difference than the one before.
_LEVELS: tuple[tuple[str, Form], ...] = (
    ("blanks around it", str.strip),
    ("characters that are damaged or cannot be seen, or quotes", _clean),
    ("case", _folded),
    ("blanks, _ and -", _joined),
    ("a number's .0", _number),
    ("accents", _bare),
)


def _by_form(owners: Mapping[str, str], form: Form) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for spelling, label in owners.items():
        found[form(spelling)].add(label)
    return found


def _declared_alike(alike: Iterable[Mapping[str, set[str]]]) -> list[Question]:
    """Labels of the task that differ in nothing but these: perhaps on purpose."""
    told: set[frozenset[str]] = set()
    found: list[Question] = []
    for (differs_in, _), level in zip(_LEVELS, alike, strict=True):
        for labels in level.values():
            if len(labels) > 1 and frozenset(labels) not in told:
                told.add(frozenset(labels))
                what = f"are labels of the task that differ in {differs_in}: one label, or more?"
                found.append(Question(tuple(sorted(labels)), 0, what, tuple(sorted(labels))))
    return found


def _same(
    spelling: str, rows: int, alike: Iterable[Mapping[str, set[str]]]
) -> Meant | Question | None:
    for (differs_in, form), level in zip(_LEVELS, alike, strict=True):
        plain = form(spelling)
        labels = level.get(plain, set()) if plain else set()
        if len(labels) == 1:
            return Meant(spelling, next(iter(labels)), rows, differs_in)
        if labels:
            return _which(spelling, rows, labels)
    return None


def _slip(
    spelling: str, rows: int, owners: Mapping[str, str], support: Mapping[str, int]
) -> Meant | Question | None:
    """A plural or a typing mistake of a far more frequent label; a question where the counts or a rival speak against it."""
    plain = _words(spelling)
    near: dict[str, tuple[int, str]] = {}
    for other, label in owners.items():
        apart, differs_in = _apart(plain, _words(other))
        if apart:
            near[label] = min(near.get(label, (apart, differs_in)), (apart, differs_in))
    if not near:
        return None
    least = min(apart for apart, _ in near.values())
    labels = {label for label, (apart, _) in near.items() if apart == least}
    if len(labels) > 1:
        return _which(spelling, rows, labels)
    (label,) = labels
    if support.get(label, 0) < SLIP_RATIO * rows:
        what = (
            f'is nearly "{label}" ({support.get(label, 0):,} rows), but too frequent to be a slip'
        )
        return Question((spelling,), rows, what, (label,))
    return Meant(spelling, label, rows, near[label][1])


def _which(spelling: str, rows: int, labels: set[str]) -> Question:
    names = tuple(sorted(labels))
    listed = " or ".join(f'"{name}"' for name in names)
    return Question((spelling,), rows, f"may be {listed}", names)


def _strangers(unknown: Iterable[tuple[str, int]]) -> list[Question]:
    """Spellings that are like no label, those that are like each other together."""
    together: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for spelling, rows in unknown:
        together[_bare(spelling) or spelling].append((spelling, rows))
    return [
        Question(
            tuple(spelling for spelling, _ in same),
            sum(rows for _, rows in same),
            "is like no label of the task: a label of its own, or a mistake?",
        )
        for same in together.values()
    ]


def _words(spelling: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKD", _folded(spelling))
    return tuple(re.findall(r"[^\W_]+", re.sub("[\u0300-\u036f]", "", plain)))


def _apart(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[int, str]:
    """How many keys two labels are apart when one may be a slip of the other, and its name; 0 when it may not."""
    if len(first) != len(second):
        return 0, ""
    differing = [(one, other) for one, other in zip(first, second, strict=True) if one != other]
    if len(differing) != 1:
        return 0, ""  # two words that both differ are two labels
    one, other = differing[0]
    if _is_plural(one, other) or _is_plural(other, one):
        return 1, "singular and plural"
    if any(letter.isdigit() for letter in one + other) or one[1:] == other[1:]:
        return 0, ""  # "L1" and "L2"; "hire" and "fire": the first letter is seldom the slip
    if one.endswith(other) or other.endswith(one):
        return 0, ""  # "active" and "inactive"
    shorter = min(len(one), len(other))
    allowed = (shorter >= SHORTEST_ONE_KEY) + (shorter >= SHORTEST_TWO_KEYS)
    if one[0] != other[0] and sorted(one[:2]) != sorted(other[:2]):
        return 0, ""
    apart = keys_apart(one, other, limit=allowed)
    # in a short word only a swapped, lost or doubled letter
    replaced = len(one) == len(other) and sorted(one) != sorted(other)
    if apart > allowed or (shorter < SHORTEST_ONE_KEY + 1 and replaced):
        return 0, ""
    return apart, "typing"


def _is_plural(one: str, other: str) -> bool:
    if len(other) < SHORTEST_PLURAL:
        return False
    return one in (f"{other}s", f"{other}es") or (other[-1] == "y" and one == f"{other[:-1]}ies")
