"""Monitoring on real data: false alarms, detection and its delay, accuracy without labels, power of the input tests.

    python benchmarks/drift.py alarms --repeats 200
    python benchmarks/drift.py detection --repeats 20
    python benchmarks/drift.py estimate --repeats 100
    python benchmarks/drift.py power --repeats 60
    python benchmarks/drift.py             # all four

Texts are embedded once by the default base model and kept under build/drift. The model that answers is a
logistic head on these embeddings with a temperature from rows of its own: it stands for the tuned model, so
that thousands of windows take minutes. Every repeat draws its own reference and its own windows.

Beside Burnish stand what most people write, a Kolmogorov-Smirnov test on the confidences of the same windows at
the same alpha, and river's ADWIN on the stream of confidences, row by row, warmed on the reference.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from burnish.edge import cache_folder
from burnish.evaluate.calibration import temperature_of
from burnish.evaluate.intervals import wilson
from burnish.monitor.change import describe
from burnish.monitor.exchange import exchange_p, random_divisions
from burnish.monitor.judge import holm, judge
from burnish.monitor.seen import Audit, Reference, Seen, Window
from burnish.monitor.separate import held_out_weights
from burnish.monitor.signal import SIGNALS
from burnish.monitor.signals import input_classifier, input_mmd
from burnish.records.recipe import DEFAULT_BASE
from burnish.records.signal import Signal
from burnish.records.task import LabelSpec, Task
from burnish.tasks.kind import KINDS

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("BURNISH_DATA", ROOT.parent / "shared" / "data"))
KEPT = ROOT / "build" / "drift"
ALPHA = 0.01
PARTS = ("alarms", "detection", "estimate", "power")
# file, text column, label column
SETS = {
    "amazon": ("uci_sentiment/amazon.csv", "sentence", "score"),
    "yelp": ("uci_sentiment/yelp.csv", "sentence", "score"),
    "imdb": ("uci_sentiment/imdb.csv", "sentence", "score"),
    "youtube_spam": ("youtube_spam/comments.csv", "CONTENT", "CLASS"),
    "banking77": ("banking77/test.csv", "text", "category"),
    "medical_abstracts": ("medical_abstracts/test.csv", "medical_abstract", "condition_label"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Texts with the number of their true label and their embedding."""

    texts: Sequence[str]
    truth_R: np.ndarray
    vectors_RH: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, rows: np.ndarray) -> Rows:
        return Rows([self.texts[row] for row in rows], self.truth_R[rows], self.vectors_RH[rows])


def main() -> None:
    """Run the parts named on the command line and print a Markdown table for each."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    parser.add_argument("--repeats", type=int, default=None)
    parser.add_argument("--window-rows", type=int, nargs="+", default=[100, 250, 500])
    chosen = parser.parse_args()
    for part in chosen.parts or PARTS:
        if part == "alarms":
            alarms(chosen.repeats or 200)
        elif part == "detection":
            detection(chosen.repeats or 20, chosen.window_rows)
        elif part == "estimate":
            estimate(chosen.repeats or 100)
        else:
            power(chosen.repeats or 60)


# --- rows, and a model that answers them


def read(name: str) -> Rows:
    """One set with its embeddings, computed once."""
    file, text, label = SETS[name]
    with (FOLDER / file).open(encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened))
    texts = [row[text] for row in rows]
    names = sorted({row[label] for row in rows})
    truth_R = np.array([names.index(row[label]) for row in rows])
    kept = KEPT / f"{name}.npy"
    if not kept.is_file():
        KEPT.mkdir(parents=True, exist_ok=True)
        np.save(kept, embed(texts))
    return Rows(texts, truth_R, np.load(kept))


def embed(texts: list[str]) -> np.ndarray:
    from burnish.models.embed import load_embedder
    from burnish.models.source import fetch_base

    base = fetch_base(DEFAULT_BASE, cache=cache_folder(), announce=print)
    embedder = load_embedder(base.folder, max_tokens=256)
    return embedder.vectors(embedder.encode(texts))


def joined(parts: Sequence[Rows]) -> Rows:
    return Rows(
        [text for part in parts for text in part.texts],
        np.concatenate([part.truth_R for part in parts]),
        np.concatenate([part.vectors_RH for part in parts]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A calibrated logistic head."""

    task: Task
    weights_HL: np.ndarray
    intercepts_L: np.ndarray
    temperature: float

    def seen(self, rows: Rows) -> Seen:
        """The rows, answered."""
        logits_RL = (rows.vectors_RH @ self.weights_HL + self.intercepts_L) / self.temperature
        probabilities_RL = KINDS["classification"].probabilities(logits_RL)
        labels = len(self.task.labels)
        return Seen(
            labels=self.task.label_names,
            texts=rows.texts,
            probabilities_RL=probabilities_RL,
            said_RL=np.eye(labels, dtype=bool)[probabilities_RL.argmax(axis=1)],
            confidence_R=probabilities_RL.max(axis=1),
            embedded_K=np.arange(len(rows)),
            vectors_KH=rows.vectors_RH,
        )

    def right(self, rows: Rows, seen: Seen) -> np.ndarray:
        return seen.probabilities_RL.argmax(axis=1) == rows.truth_R

    def reference(self, rows: Rows) -> Reference:
        seen = self.seen(rows)
        return Reference(seen=seen, right_R=self.right(rows, seen), calibrated=True)

    def window(self, rows: Rows, audits: Sequence[bool] = ()) -> Window:
        return Window(
            seen=self.seen(rows),
            ids=tuple(str(row) for row in range(len(rows))),
            latency_ms_R=np.full(len(rows), 10.0),
            seconds=60.0 * len(rows),
            replies={200: len(rows)},
            audits=tuple(Audit(str(place), bool(right)) for place, right in enumerate(audits)),
        )


def learn(rows: Rows, spare: Rows) -> Head:
    """A head fitted on `rows`, its temperature on `spare`."""
    from sklearn.linear_model import LogisticRegression

    labels = int(max(rows.truth_R.max(), spare.truth_R.max())) + 1
    model = LogisticRegression(C=10.0, max_iter=1000).fit(rows.vectors_RH, rows.truth_R)
    weights_HL = np.zeros((rows.vectors_RH.shape[1], labels))
    intercepts_L = np.full(labels, -30.0)
    if len(model.classes_) == 2:
        weights_HL[:, model.classes_] = np.concatenate([-model.coef_, model.coef_]).T / 2
        intercepts_L[model.classes_] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weights_HL[:, model.classes_] = model.coef_.T
        intercepts_L[model.classes_] = model.intercept_
    temperature = temperature_of(
        np.eye(labels)[spare.truth_R],
        spare.vectors_RH @ weights_HL + intercepts_L,
        objective="softmax",
    )
    task = Task.model_validate(
        {
            "name": "drift",
            "kind": "classification",
            "inputs": ["text"],
            "label": "label",
            "labels": [LabelSpec(name=str(one)) for one in range(labels)],
            "primary_metric": "accuracy",
            "abstain_below": 0.6,
            "monitor": {"alpha": ALPHA},
        }
    )
    return Head(task, weights_HL, intercepts_L, temperature)


# --- what stands beside it


def smirnov(window: Window, reference: Reference) -> float:
    """The p-value most people compute."""
    from scipy.stats import ks_2samp

    return float(ks_2samp(window.seen.confidence_R, reference.seen.confidence_R).pvalue)


def adwin_delay(warm: Sequence[float], stream: Sequence[float]) -> int | None:
    """Rows of the stream until ADWIN (its defaults) sees a change; None when it never does.

    Raises: SystemExit when river is not installed.
    """
    try:
        from river.drift import ADWIN
    except ImportError:
        raise SystemExit("river is not installed: pip install river, for ADWIN") from None
    detector = ADWIN()
    for value in warm:
        detector.update(float(value))
    for row, value in enumerate(stream, start=1):
        detector.update(float(value))
        if detector.drift_detected:
            return row
    return None


# --- 1. false alarms


def alarms(repeats: int) -> None:
    """Windows drawn from where the reference was drawn: how many raise a look."""
    print(
        f"\nFalse alarms: {repeats} undrifted windows a set, reference and window drawn anew each time.\n"
    )
    print(
        "| set | reference, window | alpha | windows with a look | KS on confidence | ADWIN | acts |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, pool in (
        ("banking77", read("banking77")),
        ("medical_abstracts", read("medical_abstracts")),
        ("uci_sentiment", joined([read("amazon"), read("yelp"), read("imdb")])),
        ("youtube_spam", read("youtube_spam")),
    ):
        alarms_of(name, pool, repeats)


def alarms_of(name: str, pool: Rows, repeats: int) -> None:
    random = np.random.default_rng(1)
    order = random.permutation(len(pool))
    learnt = len(pool) // 3
    head = learn(pool.at(order[: learnt * 4 // 5]), pool.at(order[learnt * 4 // 5 : learnt]))
    rest = order[learnt:]
    rows = min(500, len(rest) // 2)
    looks: Counter[float] = Counter()
    smirnovs: Counter[float] = Counter()
    by_signal: Counter[str] = Counter()
    adwins = acts = 0
    for repeat in range(repeats):
        drawn = random.permutation(rest)[: 2 * rows]
        reference, served = head.reference(pool.at(drawn[:rows])), pool.at(drawn[rows:])
        right_R = head.right(served, head.seen(served))
        # a tenth of the rows is audited
        window = head.window(served, audits=list(right_R[: rows // 10]))
        signals = judge(window, reference, task=head.task, seed=repeat)
        acts += any(signal.level == "act" for signal in signals)
        for alpha in (ALPHA, 0.05, 0.1):
            found = looking(signals, alpha)
            looks[alpha] += bool(found)
            by_signal.update(found if alpha == ALPHA else ())
            smirnovs[alpha] += smirnov(window, reference) <= alpha
        confidence = [*reference.seen.confidence_R], [*window.seen.confidence_R]
        adwins += adwin_delay(*confidence) is not None
    for alpha in (ALPHA, 0.05, 0.1):
        print(
            f"| {name} | {rows}, {rows} | {alpha} | {share(looks[alpha], repeats)} | "
            f"{share(smirnovs[alpha], repeats)} | {share(adwins, repeats)} | {share(acts, repeats)} |",
            flush=True,
        )
    if by_signal:
        print(f"\n{name}, looks at alpha {ALPHA}: {dict(by_signal)}\n")


def looking(signals: Sequence[Signal], alpha: float) -> list[str]:
    """The tested signals that a task with this alpha would have seen looking."""
    p_values = {one.name: one.p_value for one in signals if one.p_value is not None}
    thresholds = holm(p_values, alpha=alpha)
    return [name for name, p_value in p_values.items() if p_value <= thresholds[name]]


def share(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"{count}/{of} = {count / of:.3f} ({low:.3f} to {high:.3f})"


# --- 2. detection


def detection(repeats: int, window_rows: Sequence[int]) -> None:
    """How many drifted rows pass until the first look, and what it says."""
    print(
        f"\nDetection at alpha = {ALPHA}, {repeats} repeats: median delay in rows (share found).\n"
    )
    print("| shift | window | Burnish | first to look | KS on confidence | ADWIN on confidence |")
    print("|---|---|---|---|---|---|")
    amazon = read("amazon")
    for name in ("yelp", "imdb", "youtube_spam"):
        stream = read(name)
        for rows in window_rows:
            runs = [_domain(amazon, stream, rows, repeat) for repeat in range(repeats)]
            _print_delays(f"amazon to {name}", rows, runs)
    mixed = joined([amazon, read("yelp"), read("imdb")])
    for rows in window_rows:
        runs = [_more_positive(mixed, rows, repeat) for repeat in range(repeats)]
        _print_delays("half to four fifths positive", rows, runs)
    _explain(amazon)
    concept(mixed, repeats)


@dataclass(frozen=True, slots=True)
class Delays:
    """Rows until each method spoke, None when it did not, and which signals spoke first."""

    ours: int | None
    smirnov: int | None
    adwin: int | None
    first: tuple[str, ...]


def _domain(amazon: Rows, stream: Rows, rows: int, repeat: int) -> Delays:
    random = np.random.default_rng(repeat)
    order = random.permutation(len(amazon))
    head = learn(amazon.at(order[:400]), amazon.at(order[400:500]))
    reference = head.reference(amazon.at(order[500:]))
    return _delays(head, reference, stream.at(random.permutation(len(stream))), rows)


def _more_positive(mixed: Rows, rows: int, repeat: int) -> Delays:
    random = np.random.default_rng(repeat)
    head, reference, rest = _mixed_head(mixed, random)
    positive, negative = (rest[mixed.truth_R[rest] == side] for side in (1, 0))
    chosen = np.concatenate([positive, negative[: len(positive) // 4]])
    return _delays(head, reference, mixed.at(random.permutation(chosen)), rows)


def _mixed_head(mixed: Rows, random: np.random.Generator) -> tuple[Head, Reference, np.ndarray]:
    order = random.permutation(len(mixed))
    head = learn(mixed.at(order[:1000]), mixed.at(order[1000:1200]))
    return head, head.reference(mixed.at(order[1200:1700])), order[1700:]


def _delays(head: Head, reference: Reference, stream: Rows, rows: int) -> Delays:
    ours = theirs = None
    first: tuple[str, ...] = ()
    for start, window in _windows(head, stream, rows):
        if ours is None:
            signals = judge(window, reference, task=head.task, seed=start)
            first = tuple(signal.name for signal in signals if signal.level != "quiet")
            ours = start + rows if first else None
        if theirs is None and smirnov(window, reference) <= ALPHA:
            theirs = start + rows
        if ours is not None and theirs is not None:
            break
    confidence_R = head.seen(stream).confidence_R
    return Delays(ours, theirs, adwin_delay([*reference.seen.confidence_R], [*confidence_R]), first)


def _windows(head: Head, stream: Rows, rows: int) -> Iterator[tuple[int, Window]]:
    for start in range(0, len(stream) - rows + 1, rows):
        yield start, head.window(stream.at(np.arange(start, start + rows)))


def _print_delays(shift: str, rows: int, runs: Sequence[Delays]) -> None:
    first = Counter(name for run in runs for name in run.first)
    speakers = ", ".join(f"{name} {count}" for name, count in first.most_common())
    ours, theirs, adwin = (
        _median([getattr(run, name) for run in runs]) for name in ("ours", "smirnov", "adwin")
    )
    print(f"| {shift} | {rows} | {ours} | {speakers} | {theirs} | {adwin} |", flush=True)


def _median(delays: Sequence[int | None]) -> str:
    found = [delay for delay in delays if delay is not None]
    return (
        f"{np.median(found):.0f} ({len(found)}/{len(delays)})"
        if found
        else f"never (0/{len(delays)})"
    )


def _explain(amazon: Rows) -> None:
    """What a person is shown, for one window of each domain."""
    random = np.random.default_rng(1)
    order = random.permutation(len(amazon))
    head = learn(amazon.at(order[:400]), amazon.at(order[400:500]))
    reference = head.reference(amazon.at(order[500:]))
    for name in ("yelp", "imdb", "youtube_spam"):
        stream = read(name)
        found = describe(
            head.window(stream.at(random.permutation(len(stream))[:250])), reference, seed=1
        )
        print(f"\namazon to {name}:")
        print(f"- more: {', '.join(share.name for share in found.words_more)}")
        print(f"- less: {', '.join(share.name for share in found.words_less)}")
        print(
            f"- topics: {'; '.join(f'{s.name} {s.reference:.0%} to {s.window:.0%}' for s in found.topics[:3])}"
        )
        print(f"- rows: {'; '.join(row.text[:60] for row in found.rows[:3])}")


def concept(mixed: Rows, repeats: int, *, good: int = 5000, bad: int = 10_000) -> None:
    """The meaning changes, the inputs do not: only audits can know. A share of the answers turns wrong."""
    print(
        f"\nConcept shift after {good} good rows, alpha = {ALPHA}: median rows from the shift to the act.\n"
    )
    print(
        "| answers turned | audited | Burnish | before the shift | ADWIN on audits | before the shift |"
    )
    print("|---|---|---|---|---|---|")
    for turned in (0.0, 0.1, 0.3):
        for audit in (0.02, 0.1):
            runs = [
                _concept_run(mixed, turned, audit, good, bad, repeat) for repeat in range(repeats)
            ]
            cells = []
            for column in zip(*runs, strict=True):
                early = sum(row is not None and row <= good for row in column)
                late = [row - good if row is not None and row > good else None for row in column]
                cells += [_median(late), f"{early}/{repeats}"]
            print(f"| {turned:.0%} | {audit:.0%} | {' | '.join(cells)} |", flush=True)


def _concept_run(
    mixed: Rows, turned: float, audit: float, good: int, bad: int, repeat: int
) -> tuple[int | None, int | None]:
    random = np.random.default_rng(repeat)
    head, reference, rest = _mixed_head(mixed, random)
    # more rows than there are: with replacement, which the audits cannot tell from a large pool
    served = mixed.at(random.choice(rest, good + bad))
    right_R = head.right(served, head.seen(served))
    flipped_R = (np.arange(len(served)) >= good) & (random.random(len(served)) < turned)
    right_R = right_R ^ flipped_R
    audited = np.flatnonzero(random.random(len(served)) < audit)
    ours = None
    few = served.at(np.arange(0))
    for end in range(500, len(served) + 1, 500):
        window = head.window(few, audits=list(right_R[audited[audited < end]]))
        found = SIGNALS["audited_accuracy"].measure(window, reference, task=head.task, seed=1)
        if found.broken:
            ours = end
            break
    place = adwin_delay([], [float(not right) for right in right_R[audited]])
    return ours, None if place is None else int(audited[place - 1])


# --- 3. accuracy without labels


def estimate(repeats: int) -> None:
    """How often the band holds the accuracy of the window's own rows, and how far off the estimate is."""
    print(f"\nEstimated accuracy: {repeats} windows of 250 rows; the band promises 95%.\n")
    print(
        "| windows from | truth in the band | mean error | mean error of the reference's accuracy | mean width |"
    )
    print("|---|---|---|---|---|")
    amazon = read("amazon")
    mixed = joined([amazon, read("yelp"), read("imdb")])
    _print_bands(
        "the reference's distribution", [_mixed_band(mixed, r, flip=0.0) for r in range(repeats)]
    )
    _print_bands(
        "four fifths positive",
        [_mixed_band(mixed, r, flip=0.0, positive=0.8) for r in range(repeats)],
    )
    for name in ("yelp", "imdb"):
        stream = read(name)
        _print_bands(f"amazon to {name}", [_domain_band(amazon, stream, r) for r in range(repeats)])
    _print_bands(
        "labels turned on 20% (cannot be seen)",
        [_mixed_band(mixed, r, flip=0.2) for r in range(repeats)],
    )


@dataclass(frozen=True, slots=True)
class Band:
    """An estimate, its band, the truth, and the reference's accuracy."""

    value: float
    low: float
    high: float
    truth: float
    reference: float


def _band(head: Head, reference: Reference, served: Rows, right_R: np.ndarray) -> Band:
    found = SIGNALS["estimated_accuracy"].measure(
        head.window(served), reference, task=head.task, seed=1
    )
    numbers = (found.value, found.low, found.high, found.reference)
    if any(number is None for number in numbers):
        raise SystemExit(found.because)
    value, low, high, before = (float(number or 0.0) for number in numbers)
    return Band(value, low, high, float(right_R.mean()), before)


def _mixed_band(mixed: Rows, repeat: int, *, flip: float, positive: float | None = None) -> Band:
    random = np.random.default_rng(repeat)
    head, reference, rest = _mixed_head(mixed, random)
    if positive is not None:
        sides = [rest[mixed.truth_R[rest] == side] for side in (1, 0)]
        rows = round(250 * positive)
        rest = np.concatenate([sides[0][:rows], sides[1][: 250 - rows]])
    served = mixed.at(rest[:250])
    right_R = head.right(served, head.seen(served)) ^ (random.random(len(served)) < flip)
    return _band(head, reference, served, right_R)


def _domain_band(amazon: Rows, stream: Rows, repeat: int) -> Band:
    random = np.random.default_rng(repeat)
    order = random.permutation(len(amazon))
    head = learn(amazon.at(order[:400]), amazon.at(order[400:500]))
    served = stream.at(random.permutation(len(stream))[:250])
    right_R = head.right(served, head.seen(served))
    return _band(head, head.reference(amazon.at(order[500:])), served, right_R)


def _print_bands(name: str, bands: Sequence[Band]) -> None:
    inside = sum(band.low <= band.truth <= band.high for band in bands)
    off = np.mean([abs(band.value - band.truth) for band in bands])
    naive = np.mean([abs(band.reference - band.truth) for band in bands])
    width = np.mean([band.high - band.low for band in bands])
    print(
        f"| {name} | {share(inside, len(bands))} | {off:.3f} | {naive:.3f} | {width:.3f} |",
        flush=True,
    )


# --- 4. which test of the inputs


def power(repeats: int) -> None:
    """Windows of which only a part comes from elsewhere: how often each test of the inputs finds it."""
    # what Holm asks of the smallest of six p-values
    threshold = ALPHA / 6
    print(f"\nPower: 250 rows a side, share of {repeats} windows with p <= {threshold:.4f}.\n")
    print("| window | halves, logistic, C=0.1 | C=1 | C=10 | ridge 0.01 | 0.1 | 1 | input_mmd |")
    print("|---|---|---|---|---|---|---|---|")
    amazon, yelp, imdb, youtube = (
        read(name) for name in ("amazon", "yelp", "imdb", "youtube_spam")
    )
    mixed = joined([amazon, yelp, imdb])
    for name, home, other, part in (
        ("amazon, 20% yelp", amazon, yelp, 0.2),
        ("amazon, 30% imdb", amazon, imdb, 0.3),
        ("youtube, 20% amazon", youtube, amazon, 0.2),
        (
            "three domains, 60% drawn from the positive",
            mixed,
            mixed.at(np.flatnonzero(mixed.truth_R)),
            0.6,
        ),
        ("nothing changed", amazon, amazon, 0.0),
    ):
        p_values = np.array([_p_values(home, other, part, repeat) for repeat in range(repeats)])
        cells = " | ".join(f"{one:.2f}" for one in (p_values <= threshold).mean(axis=0))
        print(f"| {name} | {cells} |", flush=True)


def _p_values(home: Rows, other: Rows, part: float, repeat: int, *, rows: int = 250) -> list[float]:
    random = np.random.default_rng(repeat)
    order = random.permutation(len(home))
    strange = random.permutation(len(other))[: round(part * rows)]
    ours_KH = np.concatenate(
        [home.vectors_RH[order[rows : 2 * rows - len(strange)]], other.vectors_RH[strange]]
    )
    pooled_RH = np.concatenate([ours_KH, home.vectors_RH[order[:rows]]])
    from_window_R = np.arange(2 * rows) < rows
    return [
        *(_halves(pooled_RH, from_window_R, inverse, random) for inverse in (0.1, 1.0, 10.0)),
        *(_crossed(pooled_RH, from_window_R, penalty, repeat) for penalty in (0.01, 0.1, 1.0)),
        _discrepancy(pooled_RH, from_window_R, repeat),
    ]


def _halves(
    pooled_RH: np.ndarray, from_window_R: np.ndarray, inverse: float, random: np.random.Generator
) -> float:
    """The usual classifier test: fitted on one half, Mann-Whitney on the other."""
    from scipy.stats import mannwhitneyu
    from sklearn.linear_model import LogisticRegression

    order = random.permutation(len(pooled_RH))
    fit, ask = order[::2], order[1::2]
    model = LogisticRegression(C=inverse, class_weight="balanced", max_iter=300)
    scores = model.fit(pooled_RH[fit], from_window_R[fit]).decision_function(pooled_RH[ask])
    ours = from_window_R[ask]
    return float(mannwhitneyu(scores[ours], scores[~ours], alternative="greater").pvalue)


def _crossed(pooled_RH: np.ndarray, from_window_R: np.ndarray, penalty: float, seed: int) -> float:
    weights_RR = held_out_weights(pooled_RH, seed=seed, penalty=penalty)
    draw = random_divisions(from_window_R, seed=seed)
    observed = float(input_classifier.apart(weights_RR, from_window_R[None])[0])
    return exchange_p(
        observed, lambda size: input_classifier.apart(weights_RR, draw(size)), alpha=ALPHA
    )


def _discrepancy(pooled_RH: np.ndarray, from_window_R: np.ndarray, seed: int) -> float:
    kernel_RR = input_mmd.kernel(pooled_RH)
    total_R = kernel_RR.sum(axis=1)
    draw = random_divisions(from_window_R, seed=seed)
    observed = float(input_mmd.squared_distance(kernel_RR, total_R, from_window_R[None])[0])
    return exchange_p(
        observed,
        lambda size: input_mmd.squared_distance(kernel_RR, total_R, draw(size)),
        alpha=ALPHA,
    )


if __name__ == "__main__":
    main()
