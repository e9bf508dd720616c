"""A kind whose models write goes the same circle: rows, training, proof, report, bundle, answers; and its bad inputs."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

import burnish
from burnish.data.dataset import load_rows
from burnish.deploy.bundle import open_any, open_bundle, open_text_bundle
from burnish.deploy.versions import find_live
from burnish.edge import make_edge
from burnish.errors import BurnishError
from burnish.lifecycle import Outcome, promote_version
from burnish.models.fitted_text import TextAnswer
from burnish.project import open_project
from burnish.store.workspace import open_workspace
from deployed import TOKEN, server_on

MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December")  # fmt: skip
TASK = """name = "dates"
kind = "qa"
inputs = ["question"]
label = "answer"
primary_metric = "exact_match"
test_rows = 40

[data]
train = ["dates.jsonl"]

[decoding]
max_new_tokens = 16

[[gates]]
metric = "exact_match"
than = "base"
sure = true
"""
RECIPE = burnish.Recipe(
    base="tiny:llama",
    method="full",
    epochs=8,
    max_tokens=64,
    learning_rate=2e-3,
    batch_rows=16,
    dropout=0.0,
)


def write_project(folder: Path, *, rows: int = 500) -> None:
    choose = random.Random(1)
    with (folder / "dates.jsonl").open("w", encoding="utf-8") as file:
        for _ in range(rows):
            year, month, day = (
                choose.randint(1950, 2049),
                choose.randint(1, 12),
                choose.randint(1, 28),
            )
            row = {
                "question": f"{day} {MONTHS[month - 1]} {year}",
                "answer": f"{year}-{month:02}-{day:02}",
            }
            file.write(json.dumps(row) + "\n")
    (folder / "task.toml").write_text(TASK, encoding="utf-8")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("dates")
    write_project(folder)
    return folder, burnish.run(folder, recipe=RECIPE)


def test_the_tuned_model_is_proven_against_what_needs_no_training(
    done: tuple[Path, Outcome],
) -> None:
    _, outcome = done
    names = [one.name for one in outcome.proof.decision.candidates]
    assert names == ["retrieval", "base", "base-3-shot", "tuned"]
    assert outcome.report.measure("exact_match").value >= 0.9
    assert outcome.report.n == 40 and (outcome.report.of_rows or 0) > 40
    theirs = {(one.theirs, one.metric) for one in outcome.report.comparisons}
    assert {(name, "exact_match") for name in names[:3]} <= theirs
    assert outcome.report.verdict == "passed" and outcome.proof.decision.tuning_pays
    assert outcome.report.measure("perplexity").value < 2


def test_the_page_shows_what_was_written_beside_the_base(done: tuple[Path, Outcome]) -> None:
    _, outcome = done
    page = outcome.report_path.read_text(encoding="utf-8")
    assert "Samples" in page and 'id="labels"' not in page and 'id="confidence"' not in page
    assert {text.model for one in outcome.report.samples for text in one.texts} == {"base", "tuned"}
    assert "of %d" % (outcome.report.of_rows or 0) in page


def test_the_bundle_answers_as_training_saw_it(done: tuple[Path, Outcome]) -> None:
    folder, outcome = done
    project = open_project(folder)
    promote_version(project, None, make_edge(), because="test", force=False)
    shadow = outcome.shadows["tuned"]
    opened = open_text_bundle(open_workspace(folder).bundles / shadow.bundle_id)
    (answer,) = opened.fitted.answer(opened.task, [{"question": "7 May 1999"}])
    assert answer.finished and answer.text == "1999-05-07"
    with pytest.raises(BurnishError, match="bundle-other-kind"):
        open_bundle(open_workspace(folder).bundles / shadow.bundle_id)


def test_a_bundle_whose_weights_were_exchanged_does_not_answer(
    done: tuple[Path, Outcome], tmp_path: Path
) -> None:
    """The bytes are checked first; a golden row is what catches a model that was published so."""
    from burnish.deploy.golden_text import verify_golden_texts
    from burnish.models.chat_model import ChatModel

    folder, outcome = done
    bundle = open_workspace(folder).bundles / outcome.shadows["tuned"].bundle_id
    opened = open_any(bundle)
    assert isinstance(opened.fitted, ChatModel)
    assert verify_golden_texts(opened.fitted, opened.task, bundle, "fp32") == ()
    parameter = next(opened.fitted.writer.model.parameters())
    parameter.data.add_(0.05)
    codes = {one.code for one in verify_golden_texts(opened.fitted, opened.task, bundle, "fp32")}
    assert codes == {"golden-texts-differ"}


def test_a_prompt_that_is_too_long_is_refused_by_its_row_or_cut_by_choice(tmp_path: Path) -> None:
    write_project(tmp_path, rows=60)
    with (tmp_path / "dates.jsonl").open("a", encoding="utf-8") as file:
        for day in range(1, 21):
            row = {"question": "please " * 60 + f"{day} May 1999", "answer": f"1999-05-{day:02}"}
            file.write(json.dumps(row) + "\n")
    recipe = RECIPE.model_copy(update={"epochs": 1})
    with pytest.raises(BurnishError) as caught:
        burnish.train(tmp_path, recipe=recipe)
    assert caught.value.code == "prompt-too-long"
    assert "dates.jsonl:" in caught.value.problems[0].where and caught.value.problems[0].more > 5
    text = (tmp_path / "task.toml").read_text()
    (tmp_path / "task.toml").write_text(text.replace("test_rows", 'truncate = "left"\ntest_rows'))
    run = burnish.train(tmp_path, recipe=recipe)
    assert run.truncated_rows > 5 and run.truncated_tokens > run.truncated_rows


def test_several_answers_to_one_question_are_all_right(tmp_path: Path) -> None:
    write_project(tmp_path, rows=60)
    more = {"question": "1 May 1999", "answer": "1999-05-01"}
    with (tmp_path / "dates.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(more) + "\n" + json.dumps({**more, "answer": "May 1st"}) + "\n")
    dataset = burnish.make_dataset(tmp_path, recipe=RECIPE)
    rows = [json.loads(line) for path in (tmp_path / ".burnish" / "datasets" / dataset.id).glob("*.jsonl")
            for line in path.read_text().splitlines()]  # fmt: skip
    (found,) = [row for row in rows if row.get("inputs", {}).get("question") == "1 May 1999"]
    assert found["label"]["texts"] == ["1999-05-01", "May 1st"]


def asked_dates(count: int) -> list[str]:
    choose = random.Random(99)
    return [
        f"{choose.randint(1, 28)} {choose.choice(MONTHS)} {choose.randint(1950, 2049)}"
        for _ in range(count)
    ]


def test_200_prompts_stop_and_are_what_transformers_writes(done: tuple[Path, Outcome]) -> None:
    """OpenAI's client on a real server, and the saved folder in transformers alone: the same greedy tokens."""
    folder, outcome = done
    project = open_project(folder)
    workspace, version = open_workspace(folder), outcome.shadows["tuned"]
    if find_live(workspace, "dates") is None:
        promote_version(project, None, make_edge(), because="test", force=False)
    prompts = asked_dates(200)
    with server_on(workspace, task=project.task) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)

        def ask(prompt: str) -> openai.types.chat.ChatCompletion:
            return client.chat.completions.create(
                model="dates", messages=[{"role": "user", "content": prompt}], logprobs=True
            )

        with ThreadPoolExecutor(8) as pool:
            replies = list(pool.map(ask, prompts))
    assert [one.choices[0].finish_reason for one in replies] == ["stop"] * 200
    assert {one.model for one in replies} == {version.version}
    bundle = workspace.bundles / version.bundle_id
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    model = AutoModelForCausalLM.from_pretrained(bundle).eval()
    for prompt, reply in zip(prompts, replies, strict=True):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )
        assert reply.usage is not None and ids["input_ids"].shape[1] == reply.usage.prompt_tokens
        written = model.generate(**ids, do_sample=False, max_new_tokens=16)
        new = written[0, ids["input_ids"].shape[1] :]
        told = reply.choices[0].logprobs
        assert told is not None and told.content is not None
        assert [tokenizer.decode([one]).strip() for one in new.tolist()[:-1]] == [
            one.token.strip() for one in told.content
        ][: len(new) - 1]
        text = tokenizer.decode(new, skip_special_tokens=True)
        assert text.strip() == reply.choices[0].message.content
        assert len(new) == reply.usage.completion_tokens


def test_the_terminal_talks_to_a_version_and_to_its_base(done: tuple[Path, Outcome]) -> None:
    folder, outcome = done
    if find_live(open_workspace(folder), "dates") is None:
        promote_version(open_project(folder), None, make_edge(), because="test", force=False)
    lines = "7 May 1999\n\n/new\n" + "please " * 60 + "\n8 June 2001\n"
    command = [sys.executable, "-m", "burnish", "chat", "-C", str(folder), "--with", "base"]
    talk = subprocess.run(
        command, input=lines, capture_output=True, text=True, timeout=120, check=False
    )
    assert talk.returncode == 0, talk.stderr
    said = talk.stdout.splitlines()
    version = outcome.shadows["tuned"].version
    assert said[:2] == [f"{version}:", "1999-05-07"]
    assert said.count("base (tiny:llama):") == said.count(f"{version}:") == 3
    assert talk.stderr.count("prompt-too-long") == 2 and "Traceback" not in talk.stderr
    # what came after the line that was refused is answered
    assert "2001-06-08" in said
    refused = subprocess.run(
        [*command[:-2], "--max-new-tokens", "10000000"],
        input="x",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 1 and "tokens-refused" in refused.stderr


def test_what_people_correct_is_watched_learnt_and_forgotten(done: tuple[Path, Outcome]) -> None:
    folder, outcome = done
    project = open_project(folder)
    workspace = open_workspace(folder)
    if find_live(workspace, "dates") is None:
        promote_version(project, None, make_edge(), because="test", force=False)
    spoken = [f"{day} zzz of March {year}" for year in (1961, 1962, 1963) for day in range(1, 21)]
    right = [f"{text.split()[-1]}-03-{int(text.split()[0]):02}" for text in spoken]
    with server_on(workspace, task=project.task) as server:
        ids = [
            one["id"]
            for start in range(0, len(spoken), 20)
            for one in httpx.post(
                f"{server.url}/v1/predictions",
                json={"inputs": spoken[start : start + 20]},
                headers=server.headers,
            ).json()["predictions"]
        ]
        said = [
            {"prediction": id, "label": text, "by": "ann"}
            for id, text in zip(ids, right, strict=True)
        ]
        reply = httpx.post(
            f"{server.url}/v1/feedback", json={"feedback": said}, headers=server.headers
        )
        assert reply.status_code == 200, reply.text
        wrong = sum(not one["right"] for one in reply.json()["feedback"])
        assert wrong > 0  # words it never saw
    text = (folder / "task.toml").read_text()
    watched = text + "\n[monitor]\nwindow_rows = 50\n"
    (folder / "task.toml").write_text(watched)
    window = burnish.monitor(folder).watching.judged[-1]
    signals = {one.name: one for one in window.signals}
    assert "zzz" in {share.name for share in window.change.words_more}
    assert {share.name for share in window.change.labels} == {"finished", "cut short", "empty"}
    assert signals["input_mmd"].level == "quiet" and signals["traffic"].value is not None
    done_again = burnish.retrain(folder, recipe=RECIPE)
    assert done_again.outcome == "shadow", done_again
    assert done_again.dataset_id is not None
    rows = load_rows(workspace, done_again.dataset_id)
    added = [row for some in rows.values() for row in some if "zzz" in row.inputs["question"]]
    assert len(added) == len(spoken) and {row.source.by for row in added} == {"ann"}
    assert done_again.version is not None
    answers = burnish.predict(
        [{"question": one} for one in spoken], folder, version=done_again.version
    )
    told = [one.text for one in answers if isinstance(one, TextAnswer)]
    learnt = sum(one == wanted for one, wanted in zip(told, right, strict=True))
    assert learnt > len(spoken) - wrong
    shown = outcome.report.samples[0]
    gone = [*spoken[9:14], shown.prompt]
    assert shown.where in outcome.report_path.read_text(encoding="utf-8")
    (folder / "gone.csv").write_text("question\n" + "\n".join(gone) + "\n", encoding="utf-8")
    burnish.forget(folder / "gone.csv", folder, because="asked by their writer")
    kept = b"".join(
        path.read_bytes()
        for path in sorted((folder / ".burnish").rglob("*"))
        if path.is_file() and path.suffix != ".safetensors"
    )
    for one in gone:
        assert one.encode() not in kept and spoken[-1].encode() in kept
    assert shown.where not in outcome.report_path.read_text(encoding="utf-8")
    assert burnish.doctor(folder).findings == ()
