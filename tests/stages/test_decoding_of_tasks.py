"""[decoding] of a task: what makes no sense is refused with its line, and a JSON schema holds every answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest

from burnish.deploy.bundle import open_text_bundle
from burnish.deploy.deployments import promote
from burnish.errors import BurnishError
from burnish.records.decoding import Decoding
from burnish.tasks.load import load_task
from deployed import TOKEN, WHO, ledger_of, make_workspace, server_on
from written_bundles import TALK, chat_task, text_bundle, writer_base

SCHEMA = {
    "type": "object",
    "properties": {"kind": {"enum": ["refund", "delivery"]}, "urgent": {"type": "boolean"}},
    "required": ["kind", "urgent"],
    "additionalProperties": False,
}
TASK = """name = "dates"
kind = "qa"
inputs = ["question"]
label = "answer"
primary_metric = "exact_match"

[decoding]
"""


@pytest.mark.parametrize(
    ("lines", "line", "says"),
    [
        ("top_p = 0.5", 8, "top_p does nothing at temperature 0"),
        ("temperature = 0.5\nbeams = 2", 9, "beams and a temperature"),
        ("json_schema = '[1]'", 8, "no JSON object"),
        ("json_schema = 'type: object'", 8, "no JSON object"),
        ("beams = 2\njson_schema = '{}'", 9, "json_schema and beams"),
        (f"json_schema = '{'[' * 5000}'", 8, "no JSON object"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line(
    tmp_path: Path, lines: str, line: int, says: str
) -> None:
    path = tmp_path / "task.toml"
    path.write_text(TASK + lines + "\n", encoding="utf-8")
    with pytest.raises(BurnishError, match="task-bad-value") as caught:
        load_task(path)
    assert says in str(caught.value) and f"task.toml line {line}" in str(caught.value)


def test_a_schema_is_read_as_text(tmp_path: Path) -> None:
    path = tmp_path / "task.toml"
    path.write_text(TASK + f"json_schema = '''{json.dumps(SCHEMA)}'''\n", encoding="utf-8")
    schema = load_task(path).decoding.json_schema
    assert schema is not None and json.loads(schema) == SCHEMA


def test_the_tasks_schema_holds_every_answer_and_a_request_may_say_otherwise(
    tmp_path: Path,
) -> None:
    pytest.importorskip("xgrammar", reason="the extra burnish[json] is not installed")
    decoding = Decoding(max_new_tokens=100, json_schema=json.dumps(SCHEMA))
    workspace, task = make_workspace(tmp_path / "burnish"), chat_task(decoding=decoding)
    bundle = text_bundle(workspace, task, writer_base(tmp_path / "cache"))
    with ledger_of(workspace) as ledger:
        promote(ledger, bundle, **WHO)
    asks: list[list[Any]] = [[{"role": "user", "content": text}] for text in TALK]
    opened = open_text_bundle(workspace.bundles / bundle.id)
    answers = opened.fitted.answer(task, [{"messages": json.dumps(ask)} for ask in asks])
    for one in answers:
        assert one.finished
        jsonschema.validate(json.loads(one.text), SCHEMA)
    with server_on(workspace, task=task) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)

        def say(**changes: Any) -> str:
            made = client.chat.completions.create(model="service", messages=asks[0], **changes)
            return made.choices[0].message.content or ""

        assert say() == answers[0].text
        free = say(response_format={"type": "text"})
        with pytest.raises(json.JSONDecodeError):
            json.loads(free)
        other: Any = {"type": "object", "properties": {}, "additionalProperties": False}
        form: Any = {"type": "json_schema", "json_schema": {"name": "none", "schema": other}}
        assert json.loads(say(response_format=form)) == {}
        raw = client.completions.create(model="service", prompt="My order").choices[0].text
        assert not raw.startswith("{")
