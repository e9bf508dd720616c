"""`burnish data show` prints what training takes, for every kind and family, and what no model could learn from is said."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from burnish.cli.main import app
from burnish.errors import BurnishError

WORDS = "river stone lamp apple window garden winter paper silver bridge candle music forest engine".split()
NUMBERS = ("nine", "three", "seven")


def context_of(number: int) -> str:
    """A context like no other, a number somewhere in it."""
    draws = random.Random(number)
    words = [draws.choice(WORDS) + str(draws.randrange(100)) for _ in range(60)]
    words[draws.randrange(60)] = NUMBERS[number % 3]
    return " ".join(words)


ROWS = {
    "chat": [
        {"messages": [{"role": "user", "content": f"Hello {n}"}, {"role": "assistant", "content": f"Good day {n}"}]}
        for n in range(12)
    ],
    "summarization": [
        {"document": f"The parcel {n} was late because of snow.", "summary": f"Parcel {n} late"} for n in range(12)
    ],
    "extractive-qa": [
        {
            "question": f"Which word is a number, {WORDS[n]}?", "context": context_of(n),
            "answers": {"text": [NUMBERS[n % 3]], "answer_start": [context_of(n).index(NUMBERS[n % 3])]},
        }
        for n in range(12)
    ],
    "classification": [
        {"text": f"Where is order {n}?", "label": ["delivery", "refund"][n % 2]} for n in range(12)
    ],
}  # fmt: skip


def shown(tmp_path: Path, kind: str, base: str, *more: str) -> list[dict[str, object]]:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS[kind]))
    ran = CliRunner()
    init = ["init", str(file), "--project", str(tmp_path), "--kind", kind, "--force"]
    made = ran.invoke(app, init)
    assert made.exit_code == 0, made.output
    most = 48 if kind == "extractive-qa" else 96
    (tmp_path / "recipe.toml").write_text(f'base = "{base}"\nmax_tokens = {most}\n')
    command = ["data", "show", "--project", str(tmp_path), "--count", "12", "--json", *more]
    done = ran.invoke(app, command)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def asked(tokens: list[dict[str, str]]) -> str:
    return "".join(one["text"] for one in tokens if one["role"] == "supervised")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BURNISH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("base", ["tiny:llama", "tiny:gpt2", "tiny:t5", "tiny:bart"])
@pytest.mark.parametrize("kind", ["chat", "summarization"])
def test_of_a_text_the_answer_carries_the_loss(tmp_path: Path, kind: str, base: str) -> None:
    for row in shown(tmp_path, kind, base):
        tokens = row["tokens"]
        assert isinstance(tokens, list)
        answer = row["labels"][0]  # type: ignore[index]
        said = asked(tokens)
        # the answer, and the token that stops it
        assert answer.replace(" ", "") in said.replace(" ", "").replace("\u2581", "")
        last = [one for one in tokens if one["role"] == "supervised"][-1]
        assert last["text"] not in answer
        assert {one["role"] for one in tokens} >= {"supervised", "text"}


@pytest.mark.parametrize("base", ["tiny:bert", "tiny:distilbert"])
def test_of_a_span_the_answer_in_the_window_that_shows_it(tmp_path: Path, base: str) -> None:
    for row in shown(tmp_path, "extractive-qa", base):
        windows = row["windows"]
        assert isinstance(windows, list)
        assert len(windows) > 1
        said = [asked(one).replace("##", "") for one in windows]
        answer = row["labels"][0]  # type: ignore[index]
        assert answer in said
        # every window carries loss: at the answer, or at its first token
        assert all(one in (answer, windows[at][0]["text"]) for at, one in enumerate(said))


def test_of_a_label_the_pooled_token_or_what_a_writer_says(tmp_path: Path) -> None:
    for row in shown(tmp_path, "classification", "tiny:bert"):
        tokens = row["tokens"]
        assert [one["role"] for one in tokens].index("supervised") == 0  # type: ignore[union-attr, index]
        assert sum(one["role"] == "supervised" for one in tokens) == 1  # type: ignore[union-attr, index]
    for row in shown(tmp_path, "classification", "tiny:llama"):
        assert row["labels"][0] in asked(row["tokens"])  # type: ignore[index, arg-type]


def test_one_row_by_its_place_and_a_place_without_one(tmp_path: Path) -> None:
    every = shown(tmp_path, "summarization", "tiny:llama")
    place = str(every[3]["row"])
    ran = CliRunner()
    command = ["data", "show", "--project", str(tmp_path)]
    one = ran.invoke(app, [*command, place, "--json"])
    assert json.loads(one.stdout) == [every[3]]
    told = ran.invoke(app, [*command, place]).stdout
    assert place in told
    assert "[" in told
    assert "carries the loss" in told
    gone = ran.invoke(app, [*command, "rows.jsonl:99"])
    assert isinstance(gone.exception, BurnishError)
    assert gone.exception.code == "row-unknown"
