"""Near duplicates: what is alike, that the search misses little and invents nothing, and what the check tells."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from burnish.data.alike import BANDS, BANDS_OF_MANY, alike, alike_pairs, near_texts, one_slip
from burnish.data.check import inspect
from burnish.data.checks.near_duplicates import NearDuplicates
from burnish.data.evidence import Finding, Scene, Seen, seen
from burnish.data.kept_texts import KeptTexts
from burnish.data.sketch import Bands, plain, sketch, triples
from burnish.records.example import Split
from support_task import make_example, make_task

SAMPLES = settings(max_examples=40, deadline=None, derandomize=True)
WORDS = (
    "card",
    "my",
    "where",
    "is",
    "lost",
    "transfer",
    "pending",
    "refund",
    "not",
    "yet",
    "order",
    "12",
)
sentences = st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join)
anything = st.text(max_size=40)


@SAMPLES
@given(one=anything, other=anything)
def test_alike_is_symmetric_and_holds_for_equals(one: str, other: str) -> None:
    one, other = plain(one), plain(other)
    assert alike(one, one) and alike(one, other) == alike(other, one)
    assert plain(one) == one or not one


@SAMPLES
@given(text=anything)
def test_case_punctuation_and_white_space_change_nothing(text: str) -> None:
    words = plain(text)
    if any(letter.isalnum() for letter in text):
        shouted = words.replace(" ", " ,\t ")
        assert plain(f"  {shouted} !") == words


@SAMPLES
@given(text=st.from_regex(r"[a-z]{3,9}( [a-z]{3,9}){2,9}", fullmatch=True), chance=st.randoms())
def test_one_slip_is_found_wherever_it_is(text: str, chance: random.Random) -> None:
    at = chance.choice([place for place, letter in enumerate(text) if letter != " "])
    letter = chance.choice("qxz")
    for slip in (
        text[:at] + letter + text[at:],
        text[:at] + letter + text[at + 1 :],
        text[:at] + text[at + 1 :],
    ):
        assert one_slip(text, slip) and one_slip(slip, text)
    assert not one_slip(text, text[:at] + "7" + text[at:])
    assert not one_slip(text, f"{text} {text}")


@SAMPLES
@given(found=st.lists(sentences, max_size=40))
def test_pairs_are_exactly_those_alike(found: list[str]) -> None:
    """So few texts that chance cannot hide one: a pair at 0.65 is missed once in twenty, so nearer ones are asked for."""
    got = {tuple(pair) for pair in alike_pairs(found).tolist()}
    for pair in got:
        assert pair[0] < pair[1] and alike(found[pair[0]], found[pair[1]])
    for other, text in enumerate(found):
        for one in range(other):
            if similarity(found[one], text) >= 0.85:
                assert (one, other) in got


def similarity(one: str, other: str) -> float:
    a, b = triples(one), triples(other)
    return len(a & b) / len(a | b)


def test_sketches_find_pairs_as_often_as_is_said() -> None:
    """Sets of known similarity: the share of pairs with a common key is the curve's, within four standard errors."""
    chance = np.random.default_rng(0)
    for bands in (BANDS, BANDS_OF_MANY, Bands(4, 3)):
        for shared in (10, 20, 30):
            texts = []
            for _ in range(300):
                made = [
                    "".join(map(chr, chance.integers(0x4E00, 0x9FFF, 1)))
                    for _ in range(40 + shared)
                ]
                # one-letter words of a large alphabet have one triple each
                texts += [" ".join(made[:40]), " ".join(made[40 - shared : 80 - shared])]
            keys = sketch(texts, bands).keys_BR
            met = (keys[:, 0::2] == keys[:, 1::2]).any(axis=0).mean()
            exact = np.array([similarity(texts[n], texts[n + 1]) for n in range(0, 600, 2)])
            said = float(np.mean([bands.found(value) for value in exact]))
            assert abs(met - said) <= 4 * np.sqrt(max(said * (1 - said), 0.002) / 300)


def test_in_a_crowd_every_text_comes_with_an_earlier_one_of_its_part() -> None:
    crowd = [f"where is my order now please tell me {'a' * (n % 7)}" for n in range(300)]
    parts = np.array([n % 3 for n in range(300)])
    pairs = alike_pairs([plain(text) for text in crowd], parts=parts)
    inside = {int(b) for a, b in pairs if parts[a] == parts[b]}
    assert inside == set(range(3, 300))
    for part in (0, 1):
        beside = {int(row) for pair in pairs for row in pair if {*parts[pair]} == {part, 2}}
        assert {n for n in range(300) if parts[n] == part} <= beside


@SAMPLES
@given(found=st.lists(anything, max_size=20))
def test_kept_texts_come_back(found: list[str]) -> None:
    kept = KeptTexts()
    for number, text in enumerate(found):
        kept.add(text)
        assert kept[number] == text
    assert [kept[number] for number in range(len(kept))] == found


def told(rows: list[Seen], *, most_rows: int | None = None) -> dict[str, Finding]:
    scene = Scene(make_task(), recall=lambda numbers: {n: rows[n] for n in numbers})
    inspector = NearDuplicates(scene, most_rows=most_rows)
    for row in rows:
        scene.remember(row)
        inspector.see(row)
    return {one.issue.code: one for one in inspector.findings()}


def rows_of(*said: tuple[Split, str, str]) -> list[Seen]:
    return [
        seen(n, split, make_example(text, label, n, file=f"{split}.csv"))
        for n, (split, text, label) in enumerate(said)
    ]


def test_the_first_of_each_cluster_stays_and_what_is_equal_is_told_elsewhere() -> None:
    rows = rows_of(
        ("train", "Where is my order?", "delivery"),
        ("train", "where is my order", "delivery"),
        ("train", "Where is my order?", "delivery"),
        ("train", "My order, where is?", "delivery"),
        ("train", "I want my money back", "refund"),
        ("train", "where is my order", "delivery"),
    )
    found = told(rows)
    assert set(found) == {"near-duplicates"}
    assert list(found["near-duplicates"].numbers) == [1, 3, 5]
    assert found["near-duplicates"].mend == "drop"
    assert not told(rows_of(("train", "a b", "other"), ("train", "a b", "other")))


def test_a_chain_keeps_every_second_link() -> None:
    """b is near a and c is near b, but c is not near a: c stays, because b goes."""
    a, b, c = "good price", "good prices", "food prices"
    assert alike(a, b) and alike(b, c) and not alike(a, c)
    found = told(rows_of(*(("train", text, "other") for text in (a, b, c))))
    assert list(found["near-duplicates"].numbers) == [1]


def test_across_splits_it_is_leakage_and_train_is_mended() -> None:
    rows = rows_of(
        ("train", "Where is my order?", "delivery"),
        ("train", "I want my money back", "refund"),
        ("train", "Hello, I lost my parcel today", "delivery"),
        ("test", "Where is my oder?", "delivery"),
        ("test", "I want my money back", "refund"),
        ("validation", "I lost my parcel today", "delivery"),
        ("test", "i lost my parcel today", "delivery"),
    )
    scene = Scene(make_task(), recall=lambda numbers: {n: rows[n] for n in numbers})
    found = [one for one in inspect(scene, rows) if one.issue.code == "near-leakage"]
    assert {tuple(one.numbers): one.mend for one in found} == {
        (0, 2): "drop",
        (2,): "drop",
        (5,): None,
    }


def test_other_labels_are_told_and_never_dropped() -> None:
    found = told(
        rows_of(
            ("train", "Where is my order?", "delivery"), ("train", "where is my order!", "other")
        )
    )
    assert set(found) == {"near-conflict"}
    assert list(found["near-conflict"].numbers) == [0, 1] and found["near-conflict"].mend is None


def test_beyond_the_limit_it_says_so() -> None:
    rows = rows_of(*(("train", "the same again", "other") for _ in range(5)))
    (left_out,) = told(rows, most_rows=4).values()
    assert left_out.issue.code == "near-duplicates-left-out" and left_out.issue.count == 5
    assert "--with near-duplicates" in left_out.issue.fix


def planted(texts: list[str], chance: random.Random) -> Iterator[tuple[str, str]]:
    """Seven kinds of edits, one after another."""
    for number, text in enumerate(texts):
        words = text.split()
        at = chance.randrange(len(words) - 1)
        kind = number % 7
        if kind == 0:
            yield text, text.swapcase()
        elif kind == 1:
            yield text, text.rstrip("?.!") + chance.choice(["?!", ".", " ..."])
        elif kind == 2:
            yield text, "  ".join(words) + "\n"
        elif kind == 3:
            place = chance.choice([n for n, letter in enumerate(text) if letter.isalpha()])
            yield text, text[:place] + chance.choice("abcdefghij") + text[place:]
        elif kind == 4:
            yield text, " ".join([*words[: at + 1], *words[at:]])
        elif kind == 5:
            yield (
                text,
                chance.choice(["Please, ", "Hello, ", "Hi there, ", "Good morning, "]) + text,
            )
        else:
            words[at], words[at + 1] = words[at + 1], words[at]
            yield text, " ".join(words)


def test_planted_near_duplicates_of_real_texts_are_found(real_data: Path) -> None:
    with (real_data / "banking77" / "train.csv").open(encoding="utf-8", newline="") as file:
        every = [row["text"] for row in csv.DictReader(file)]
    chance = random.Random(7)
    texts = [text for text in chance.sample(every, 2000) if len(text.split()) > 3]
    pairs = list(planted(texts[:700], chance))
    mixed = texts + [edited for _, edited in pairs]
    natural = {tuple(pair) for pair in near_texts(texts).tolist()}
    found = {tuple(pair) for pair in near_texts(mixed).tolist()}
    wanted = {(n, len(texts) + n) for n in range(len(pairs))}
    missed = wanted - found
    assert len(missed) <= 0.02 * len(wanted)
    # what was near without the plants is found beside them, and every pair is near by definition
    assert natural <= found
    assert all(alike(plain(mixed[a]), plain(mixed[b])) for a, b in found)
