"""What every shape promises: it knows its own, tells everything an object holds, and no place twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from burnish.data.read import read_rows, sniff
from burnish.data.rows import Asked, Row
from burnish.data.shape import SHAPES, recognise, title_of
from burnish.errors import BurnishError
from burnish.records.dataset import Rejection
from burnish.records.task import ShapeName

SAMPLES = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
words = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12
)
names = st.sampled_from(["ham", "spam", "NA", "007", "a,b"])


def ls_annotation(labels: list[str], *, cancelled: bool) -> dict[str, object]:
    choices = {"id": "q", "from_name": "intent", "to_name": "text", "type": "choices",
               "value": {"choices": labels}, "origin": "manual"}  # fmt: skip
    return {"id": 7, "completed_by": 3, "result": [choices], "was_cancelled": cancelled,
            "ground_truth": False, "created_at": "2024-05-01T10:00:00Z", "lead_time": 4.2}  # fmt: skip


ls_tasks = st.builds(
    lambda text, said: {"id": 1, "data": {"text": text}, "annotations": said, "predictions": []},
    words,
    st.lists(
        st.builds(ls_annotation, st.lists(names, min_size=1, max_size=2), cancelled=st.booleans()),
        max_size=3,
    ),
)
min_rows = st.builds(
    lambda text, said: {"text": text, "id": 1, "intent": said, "annotator": 3, "annotation_id": 7,
                        "created_at": "2024-05-01", "updated_at": "2024-05-02", "lead_time": 4.2},
    words, names | st.lists(names, min_size=2, max_size=2).map(lambda found: {"choices": found}),
)  # fmt: skip
questions = st.builds(
    lambda text, accept, answer: {"text": text, "_input_hash": -1, "_task_hash": 2, "meta": {"source": "web"},
                                  "options": [{"id": "ham", "text": "ham"}], "accept": accept,
                                  "answer": answer, "_annotator_id": "db-ann", "_view_id": "choice"},
    words, st.lists(names, max_size=2), st.sampled_from(["accept", "reject", "ignore"]),
)  # fmt: skip
records = st.builds(
    lambda text, said: {"id": "r1", "fields": {"text": text}, "metadata": {"source": "web"}, "suggestions": {},
                        "responses": {"intent": [{"value": one, "user_id": f"u{n}"} for n, one in enumerate(said)]},
                        "vectors": {}, "_server_id": "s"},
    words, st.lists(names, max_size=3),
)  # fmt: skip
articles = st.builds(
    lambda context, asked: {"title": "T", "paragraphs": [{"context": context, "qas": [
        {"id": str(n), "question": one, "answers": [{"text": "x", "answer_start": 3}]}
        for n, one in enumerate(asked)]}]},
    words, st.lists(words, min_size=1, max_size=3),
)  # fmt: skip
chats = st.one_of(
    st.builds(lambda said: {"messages": [{"role": "user", "content": said}]}, words),
    st.builds(lambda said: {"conversations": [{"from": "human", "value": said}]}, words),
)
instructions = st.builds(
    lambda text, outputs: {"id": "s1", "instruction": text,
                           "instances": [{"input": "", "output": one} for one in outputs]},
    words, st.lists(words, min_size=1, max_size=3),
)  # fmt: skip
tables = st.builds(lambda text, label: {"text": text, "label": label}, words, names)
OBJECTS: Mapping[str, st.SearchStrategy[dict[str, object]]] = {
    "label-studio": ls_tasks, "label-studio-min": min_rows, "prodigy": questions, "argilla": records,
    "squad": articles, "self-instruct": instructions, "chat": chats, "plain": tables,
}  # fmt: skip
# how many records an object holds, counted without the code under test
HELD: Mapping[str, Callable[[dict], int]] = {
    "label-studio": lambda task: max(
        1,
        sum(one["was_cancelled"] for one in task["annotations"])
        + len(
            {json.dumps(one["result"]) for one in task["annotations"] if not one["was_cancelled"]}
        ),
    ),
    "argilla": lambda record: max(1, len({one["value"] for one in record["responses"]["intent"]})),
    "self-instruct": lambda one: len(one["instances"]),
    "squad": lambda article: sum(len(one["qas"]) for one in article["paragraphs"]),
}


def read(path: Path, *, shape: str | None = None) -> list[Row | Rejection]:
    return list(read_rows(path, facts=sniff(path, asked=Asked(shape=shape))))


def lines(path: Path, objects: list[dict]) -> Path:
    path.write_text(
        "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects), newline=""
    )
    return path


def test_every_shape_is_in_these_laws_and_in_task_toml() -> None:
    assert set(OBJECTS) == set(SHAPES) == set(get_args(ShapeName))


@pytest.mark.parametrize("name", OBJECTS)
@SAMPLES
@given(data=st.data())
def test_a_shape_knows_its_own_and_nobody_elses(name: str, data: st.DataObject) -> None:
    objects = data.draw(st.lists(OBJECTS[name], min_size=1, max_size=4))
    assert recognise(objects) == name
    fitting = [other for other, shape in SHAPES.items() if shape.fits(objects[0])]
    assert fitting == [*dict.fromkeys((name, "plain"))]


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("ending", [".jsonl", ".json"])
@SAMPLES
@given(data=st.data())
def test_every_record_is_told_once_and_at_its_line(
    tmp_path_factory: pytest.TempPathFactory, name: str, ending: str, data: st.DataObject
) -> None:
    objects = data.draw(st.lists(OBJECTS[name], min_size=1, max_size=4))
    path = tmp_path_factory.mktemp("x") / f"t{ending}"
    body = [json.dumps(one, ensure_ascii=False) for one in objects]
    text = "\n".join(body) if ending == ".jsonl" else "[\n" + ",\n".join(body) + "\n]"
    path.write_text(text, newline="")
    try:
        found = read(path)
    except BurnishError as error:
        assert error.code == "file-no-rows"  # every object was skipped, so there is no column
        return
    places = [one.where for one in found]
    assert len(set(places)) == len(places)
    first = 1 if ending == ".jsonl" else 2
    counts = [
        sum(place.split("#")[0] == f"t{ending}:{first + n}" for place in places)
        for n in range(len(objects))
    ]
    assert counts == [HELD.get(name, lambda _: 1)(one) for one in objects]


@pytest.mark.parametrize("name", [name for name in OBJECTS if name != "plain"])
def test_what_does_not_fit_is_rejected_by_its_place(tmp_path: Path, name: str) -> None:
    """A mixed file: most objects are of the shape, one is something else, one is no JSON."""
    fitting = {
        "label-studio": {"data": {"text": "a"}, "annotations": [ls_annotation(["ham"], cancelled=False)]},
        "label-studio-min": {"text": "a", "annotator": 1, "annotation_id": 1, "lead_time": 1.0},
        "prodigy": {"text": "a", "label": "ham", "answer": "accept"},
        "argilla": {"fields": {"text": "a"}, "responses": {"y": [{"value": "ham", "user_id": "u"}]}},
        "squad": {"title": "t", "paragraphs": [{"context": "c", "qas": [{"id": 1, "question": "q"}]}]},
        "self-instruct": {"instruction": "a", "instances": [{"input": "", "output": "b"}]},
        "chat": {"messages": [{"role": "user", "content": "a"}]},
    }[name]  # fmt: skip
    path = lines(tmp_path / "t.jsonl", [fitting, {"something": "else"}, fitting])
    path.write_text(path.read_text() + "{broken\n")
    told = [(one.where, getattr(one, "reason", "row")) for one in read(path)]
    assert [reason for _, reason in told] == ["row", "shape-mismatch", "row", "broken-json"]
    assert told[1][0] == "t.jsonl:2"
    assert sniff(path).shape == name
    assert title_of(name)


def test_the_shape_can_be_said(tmp_path: Path) -> None:
    path = lines(tmp_path / "t.jsonl", [{"messages": [{"role": "user", "content": "a"}], "y": 1}])
    assert sniff(path).shape == "chat"
    assert sniff(path, asked=Asked(shape="plain")).columns == ("messages", "y")
    with pytest.raises(BurnishError) as caught:
        sniff(path, asked=Asked(shape="prodigy"))
    assert caught.value.code == "shape-mismatch"


def rows(path: Path) -> list[dict[str, str]]:
    return [one.fields for one in read(path) if isinstance(one, Row)]


def reasons(path: Path) -> list[tuple[str, str]]:
    return [(one.where, one.reason) for one in read(path) if isinstance(one, Rejection)]


def test_label_studio_annotators_agree_disagree_and_skip(tmp_path: Path) -> None:
    ham, spam = ls_annotation(["ham"], cancelled=False), ls_annotation(["spam"], cancelled=False)
    by_mail = spam | {
        "completed_by": {"id": 4, "email": "b@example.org"},
        "updated_at": "2024-05-03",
    }
    skipped = ls_annotation([], cancelled=True)
    true = spam | {"ground_truth": True}
    tasks = [
        {"data": {"text": "one", "annotator": "x"}, "annotations": [ham, ham]},
        {"data": {"text": "two"}, "annotations": [skipped, ham, by_mail]},
        {"data": {"text": "three"}, "annotations": [ham, true]},
        {"data": {"text": "four"}, "annotations": [skipped]},
        {"data": {"text": "five"}, "annotations": []},
    ]
    path = lines(tmp_path / "t.jsonl", tasks)
    found = [one for one in read(path) if isinstance(one, Row)]
    assert [
        (one.where, one.fields["text"], one.fields["intent"], one.fields["annotator"])
        for one in found
    ] == [
        ("t.jsonl:1", "one", "ham", "3"),
        ("t.jsonl:2", "two", "ham", "3"),
        ("t.jsonl:2#annotations[2]", "two", "spam", "b@example.org"),
        ("t.jsonl:3", "three", "spam", "3"),
    ]
    assert found[0].fields["data.annotator"] == "x"
    assert found[2].fields["annotated_at"] == "2024-05-03"
    assert reasons(path) == [
        ("t.jsonl:2#annotations[0]", "annotation-skipped"),
        ("t.jsonl:4", "annotation-skipped"),
        ("t.jsonl:5", "not-annotated"),
    ]


def test_label_studio_controls(tmp_path: Path) -> None:
    """Choices, taxonomy, text areas, ratings, and what is said of a part of the text."""
    span = {"start": 0, "end": 3, "text": "Bad", "labels": ["PER"]}
    values = [
        ("one", "choices", {"choices": ["ham"]}),
        ("more", "choices", {"choices": ["ham", "spam"]}),
        ("tree", "taxonomy", {"taxonomy": [["Fish", "Snapper"], ["Rock"]]}),
        ("note", "textarea", {"text": ["first", "second"]}),
        ("stars", "rating", {"rating": 4}),
        ("who", "labels", span),
    ]
    result = [{"from_name": n, "to_name": "text", "type": t, "value": v} for n, t, v in values]
    path = lines(
        tmp_path / "t.jsonl", [{"data": {"text": "Bad"}, "annotations": [{"result": result}]}]
    )
    (found,) = rows(path)
    assert json.loads(found.pop("who")) == [span]
    assert found == {
        "text": "Bad",
        "one": "ham",
        "more": '["ham","spam"]',
        "tree": '["Fish/Snapper","Rock"]',
        "note": "first\nsecond",
        "stars": "4",
    }


def test_label_studio_min(tmp_path: Path) -> None:
    meta = {
        "annotator": 2,
        "annotation_id": 9,
        "lead_time": 1.5,
        "created_at": "a",
        "updated_at": "b",
    }
    told = [
        {
            "text": "x",
            "more": {"choices": ["p", "q"]},
            "tree": [{"taxonomy": [["A", "B"]]}],
            "id": 5,
        }
    ]
    path = lines(tmp_path / "t.jsonl", [one | meta for one in told])
    assert rows(path) == [
        {"text": "x", "more": '["p","q"]', "tree": "A/B", "id": "5", "annotator": "2", "annotated_at": "b"}
    ]  # fmt: skip


def test_prodigy_answers(tmp_path: Path) -> None:
    hashes = {"_input_hash": 1, "_task_hash": 2, "_session_id": "s"}
    asked = [
        {"text": "a", "label": "SPAM", "answer": "accept", "meta": {"source": "web", "text": "m"}},
        {"text": "b", "label": "SPAM", "answer": "reject"},
        {"text": "c", "options": [{"id": "x", "text": "X"}, {"id": "y", "text": "Y"}],
         "accept": ["x", "y"], "answer": "accept", "_annotator_id": "db-ann"},
        {"text": "d", "accept": [], "options": [], "answer": "ignore"},
        {"text": "e", "options": [{"id": 1, "text": "Good"}], "accept": [1], "answer": "accept"},
        {"text": "f", "spans": [{"start": 0, "end": 1, "label": "PER"}], "answer": "accept", "tokens": []},
    ]  # fmt: skip
    path = lines(tmp_path / "t.jsonl", [one | hashes for one in asked])
    assert rows(path) == [
        {"text": "a", "label": "SPAM", "source": "web", "meta.text": "m"},
        {"text": "c", "label": '["x","y"]', "annotator": "db-ann"},
        {"text": "e", "label": "Good"},
        {"text": "f", "spans": '[{"start":0,"end":1,"label":"PER"}]'},
    ]
    assert reasons(path) == [
        ("t.jsonl:2", "annotation-rejected"),
        ("t.jsonl:4", "annotation-skipped"),
    ]


def test_argilla_nested_flat_and_old(tmp_path: Path) -> None:
    nested = {
        "id": "a", "fields": {"text": "x"}, "metadata": {"text": "m"}, "vectors": {}, "_server_id": "s",
        "suggestions": {"y": {"value": "guess", "score": None, "agent": None}},
        "responses": {"y": [{"value": "ham", "user_id": "u"}, {"value": "spam", "user_id": "v"}],
                      "tags": [{"value": ["p", "q"], "user_id": "u"}]},
    }  # fmt: skip
    flat = {
        "id": "a", "status": "completed", "_server_id": "s", "text": "x",
        "y.responses": ["ham", "spam"], "y.responses.users": ["u", "v"],
        "y.responses.status": ["submitted", "discarded"], "y.suggestion": "guess",
        "y.suggestion.score": None, "y.suggestion.agent": None,
    }  # fmt: skip
    old = {
        "fields": {"text": "x"}, "metadata": {}, "external_id": None, "suggestions": [],
        "responses": [{"user_id": "u", "status": "submitted", "values": {"y": {"value": "ham"}}}],
    }  # fmt: skip
    assert rows(lines(tmp_path / "n.jsonl", [nested])) == [
        {"text": "x", "metadata.text": "m", "id": "a", "y": "ham", "tags": '["p","q"]', "annotator": "u"},
        {"text": "x", "metadata.text": "m", "id": "a", "y": "spam", "annotator": "v"},
    ]  # fmt: skip
    path = lines(tmp_path / "f.jsonl", [flat])
    assert rows(path) == [{"id": "a", "text": "x", "y": "ham", "annotator": "u"}]
    assert reasons(path) == [("f.jsonl:1#responses[1]", "annotation-skipped")]
    assert rows(lines(tmp_path / "o.jsonl", [old])) == [{"text": "x", "y": "ham", "annotator": "u"}]
    assert reasons(lines(tmp_path / "e.jsonl", [nested | {"responses": {}}, nested])) == [
        ("e.jsonl:1", "not-annotated")
    ]


def test_squad_as_published(tmp_path: Path) -> None:
    qas = [
        {"id": "q1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}], "is_impossible": False},
        {"id": "q2", "question": "When?", "answers": [], "is_impossible": True,
         "plausible_answers": [{"text": "Ann", "answer_start": 0}]},
    ]  # fmt: skip
    article = {"title": "T", "paragraphs": [{"context": "Ann came.", "qas": qas}]}
    path = tmp_path / "t.json"
    for wrapped in (
        {"version": "v2.0", "data": [article]},
        {"data": [article], "version": "v2.0"},
        [article],
    ):
        path.write_text(json.dumps(wrapped, indent=1))
        found = read(path)
        assert [one.where.partition("#")[2] for one in found] == [
            "paragraphs[0].qas[0]",
            "paragraphs[0].qas[1]",
        ]
        assert [one.fields for one in found] == [
            {"id": "q1", "title": "T", "context": "Ann came.", "question": "Who?",
             "answers": '{"text":["Ann"],"answer_start":[0]}', "is_impossible": "false"},
            {"id": "q2", "title": "T", "context": "Ann came.", "question": "When?",
             "answers": '{"text":[],"answer_start":[]}',
             "plausible_answers": '{"text":["Ann"],"answer_start":[0]}', "is_impossible": "true"},
        ]  # fmt: skip


def test_an_object_around_the_list_must_close(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    for text in (
        '{"data": [{"a": "x"}]',
        '{"data": [{"a": "x"}]} more',
        '{"data": [{"a": "x"}], "b": [1]}',
    ):
        path.write_text(text)
        with pytest.raises(BurnishError) as caught:
            read(path)
        assert caught.value.code == "json-unclosed", text


def test_chat_is_one_canonical_column(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    openai = {
        "messages": [
            {"content": "Hi", "role": "user", "name": "ann"},
            {"role": "assistant", "content": None, "tool_calls": [call], "weight": 0},
        ],
        "tools": [{"type": "function"}],
        "source": "web",
    }
    share = {"id": "1", "conversations": [
        {"from": "system", "value": "s"}, {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Hello", "train": True}, {"from": "narrator", "value": "?"}]}  # fmt: skip
    found = rows(lines(tmp_path / "t.jsonl", [openai, share]))
    assert found[0]["messages"] == (
        '[{"role":"user","content":"Hi","name":"ann"},{"role":"assistant","content":null,'
        '"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}],"weight":0}]'
    )
    assert found[0]["tools"] == '[{"type":"function"}]'
    assert found[0]["source"] == "web"
    assert json.loads(found[1]["messages"]) == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello", "train": True},
        {"role": "narrator", "content": "?"},
    ]


@pytest.mark.parametrize(
    "table",
    [
        {"instruction": "Say hi", "input": "", "output": "hi"},
        {"prompt": "Say hi", "completion": "hi"},
        {
            "id": "1",
            "context": "c",
            "question": "q",
            "answers": {"text": ["c"], "answer_start": [0]},
        },
        {"messages": "a text", "answer": "accept"},
        {"question": "accept or not?", "answer": "accept"},
    ],
)
def test_plain_tables_stay_plain(tmp_path: Path, table: dict) -> None:
    path = lines(tmp_path / "t.jsonl", [table])
    assert sniff(path).shape == "plain"
    assert list(rows(path)[0]) == list(table)


def test_the_real_nested_file_holds_what_the_flat_one_does(real_data: Path) -> None:
    nested = rows(real_data / "xquad_en" / "xquad.en.json")
    flat = rows(real_data / "xquad_en" / "validation.jsonl")
    keys = ("id", "context", "question")
    assert [{k: one[k] for k in keys} for one in nested] == [
        {k: one[k] for k in keys} for one in flat
    ]
    assert [json.loads(one["answers"]) for one in nested] == [
        json.loads(one["answers"]) for one in flat
    ]
