"""Near duplicates among a million short texts: ours beside datasketch's MinHashLSH, each in a process of its own.

    python benchmarks/dedup.py                      # 1,000,000 texts
    python benchmarks/dedup.py --rows 100000
    python benchmarks/dedup.py --only datasketch-words --rows 100000

Needs datasketch (pip install datasketch==2.0.0), which nothing else does.

Texts are the openings of sentences of banking77, uci_sentiment and bitext_support joined to the ends of others (about ten
words); 5% of them are copies of another with one edit (case, punctuation, white space, a typo, a doubled word, a
polite word in front, two words swapped). Found: planted copies that a pair names with their original. "True" pairs are
those that data/alike.py calls alike, whoever names them; precision is the share of a searcher's pairs (of at most
20,000 drawn) that are. datasketch gives candidates; its verified line is the same search with our look at each pair.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(os.environ.get("BURNISH_DATA", Path(__file__).parents[2] / "shared" / "data"))
PLANTED_FRACTION = 0.05
POLITE = ("Please, ", "Hello, ", "Hi there, ", "Excuse me, ", "Good morning, ")
JUDGED_PAIRS = 20_000
SEARCHERS = ("ours", "datasketch-words", "datasketch-triples", "datasketch-verified")


def main() -> None:
    """Each searcher in its own process, then the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=SEARCHERS, action="append")
    parser.add_argument("--here", choices=SEARCHERS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.here:
        measure(asked.here, asked.rows)
        return
    print(f"{asked.rows} texts", flush=True)
    print(
        "| search | CPU s | s | peak memory over the texts, MB | pairs | planted found | precision |"
    )
    print("|---|---|---|---|---|---|---|", flush=True)
    for name in asked.only or SEARCHERS:
        command = [sys.executable, __file__, "--rows", str(asked.rows), "--here", name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | failed: {done.stderr[-300:]!r} |", flush=True)
            continue
        one = json.loads(done.stdout)
        print(
            f"| {name} | {one['cpu']:.0f} | {one['seconds']:.0f} | {one['megabytes']:.0f} | "
            f"{one['pairs']} | {one['recall']:.4f} | {one['precision']:.4f} |",
            flush=True,
        )


def measure(name: str, rows: int) -> None:
    """Search once and print what it took and found."""
    texts, planted = make_texts(rows)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.monotonic()
    pairs = ours(texts) if name == "ours" else datasketch(texts, name.partition("-")[2])
    seconds = time.monotonic() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    from burnish.data.alike import alike
    from burnish.data.sketch import plain

    drawn = random.Random(0).sample(sorted(pairs), min(JUDGED_PAIRS, len(pairs)))
    right = sum(alike(plain(texts[one]), plain(texts[other])) for one, other in drawn)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        json.dumps(
            {
                "cpu": cpu,
                "seconds": seconds,
                "megabytes": (after.ru_maxrss - before.ru_maxrss) / 1024,
                "pairs": len(pairs),
                "recall": len(planted & pairs) / len(planted),
                "precision": right / max(1, len(drawn)),
            }
        )
    )


def ours(texts: list[str]) -> set[tuple[int, int]]:
    """The product's own search, texts on disk as the check keeps them."""
    from burnish.data.alike import alike_pairs
    from burnish.data.kept_texts import KeptTexts
    from burnish.data.sketch import plain

    kept = KeptTexts()
    for text in texts:
        kept.add(plain(text))
    return {(int(one), int(other)) for one, other in alike_pairs(kept)}


def datasketch(texts: list[str], kind: str) -> set[tuple[int, int]]:
    """MinHashLSH as its documentation uses it: 128 permutations, threshold 0.8, bulk hashing, an insertion session."""
    from datasketch import MinHash, MinHashLSH

    from burnish.data.alike import alike
    from burnish.data.sketch import plain, triples

    def shingles(text: str) -> list[bytes]:
        words = plain(text)
        if kind == "words":
            return [word.encode() for word in set(words.split())]
        return ["".join(three).encode() for three in triples(words)]

    lsh = MinHashLSH(threshold=0.65 if kind == "verified" else 0.8, num_perm=128)
    pairs: set[tuple[int, int]] = set()
    every = MinHash.generator((shingles(text) for text in texts), num_perm=128, seed=1)
    for number, minhash in enumerate(every):
        for other in lsh.query(minhash):
            if kind != "verified" or alike(plain(texts[other]), plain(texts[number])):
                pairs.add((other, number))
        lsh.insert(number, minhash, check_duplication=False)
    return pairs


def make_texts(rows: int) -> tuple[list[str], set[tuple[int, int]]]:
    """The texts and the planted pairs, the original first; the same for the same number of rows."""
    chance = random.Random(1)
    said = [text.split() for text in sources() if len(text.split()) > 3]
    copies = round(PLANTED_FRACTION * rows)
    made: dict[str, None] = {}
    while len(made) < rows - copies:
        one, other = chance.choice(said), chance.choice(said)
        made[" ".join([*one[: (len(one) + 1) // 2], *other[len(other) // 2 :]])] = None
    texts = list(made)
    originals = chance.sample(range(len(texts)), copies)
    planted = {(number, len(texts) + place) for place, number in enumerate(originals)}
    texts += [edited(texts[number], place % 7, chance) for place, number in enumerate(originals)]
    return texts, planted


def sources() -> Iterator[str]:
    """The sentences of three public sets."""
    for name, column in (
        ("banking77/train", "text"),
        ("banking77/test", "text"),
        ("bitext_support/train", "instruction"),
        ("uci_sentiment/amazon", None),
        ("uci_sentiment/imdb", None),
        ("uci_sentiment/yelp", None),
    ):
        with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                yield row[column] if column else max(row.values(), key=len)


def edited(text: str, kind: int, chance: random.Random) -> str:
    """One edit of the seven kinds."""
    words = text.split()
    at = chance.randrange(len(words) - 1)
    if kind == 0:
        return text.swapcase()
    if kind == 1:
        return re.sub(r"[?.!]*$", chance.choice(["?!", ".", " ..."]), text)
    if kind == 2:
        return "  ".join(words) + "\n"
    if kind == 3:
        return slipped(text, chance)
    if kind == 4:
        return " ".join([*words[: at + 1], *words[at:]])
    if kind == 5:
        return chance.choice(POLITE) + text
    words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def slipped(text: str, chance: random.Random) -> str:
    """A letter more, less, wrong, or two swapped."""
    letters = [place for place, letter in enumerate(text[:-1]) if letter.isalpha()]
    place, kind = chance.choice(letters), chance.randrange(4)
    letter = chance.choice("abcdefghijklmnopqrstuvwxyz")
    if kind == 0:
        return text[:place] + letter + text[place:]
    if kind == 1:
        return text[:place] + text[place + 1 :]
    if kind == 2:
        return text[:place] + letter + text[place + 1 :]
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


if __name__ == "__main__":
    main()
