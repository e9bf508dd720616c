"""Chat templates: the same text as transformers gives, hostile ones stopped early, and found where models keep them."""

from __future__ import annotations

import json
import resource
import sys
import time
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from burnish.encode.chat_template import (
    TEMPLATE_FILE,
    built_in_template,
    chat_template,
    find_template,
    load_template,
    render_chat,
)
from burnish.encode.marks import chat_tokeniser, load_chat_tokeniser
from burnish.encode.supervise import prompt_ids, stop_ids
from burnish.encode.template_sandbox import MOST_TEMPLATE_CHARACTERS, compile_template, run_template
from burnish.encode.template_trial import try_template
from burnish.errors import BurnishError
from burnish.records.message import Message
from burnish.tasks.conversation import turn_fields
from chat_scenes import NAMES, SHAPES, TOKENIZERS, conversations, template_of, tokeniser_of

CHAT = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
PAIRS = [(shape, kind) for shape in SHAPES for kind in TOKENIZERS]


def stock(shape: str, kind: str) -> PreTrainedTokenizerFast:
    """The tokenizer that transformers makes of what we store."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokeniser_of(kind).tokenizer,
        chat_template=template_of(shape, kind).text,
        **NAMES,
    )


@pytest.mark.parametrize(("shape", "kind"), PAIRS)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_transformers_gives_the_same_text_and_tokens(
    shape: str, kind: str, data: st.DataObject
) -> None:
    template, tokeniser, theirs = template_of(shape, kind), tokeniser_of(kind), stock(shape, kind)
    messages = data.draw(conversations(system=SHAPES[shape].system))
    if any(one in turn.content for turn in messages for one in "\ufdd0\ufdd1\ufdd2"):
        return  # these three we replace
    turns = [turn_fields(one) for one in messages]
    for said, told, asking in ((messages, turns, False), (messages[:-1], turns[:-1], True)):
        text = theirs.apply_chat_template(told, tokenize=False, add_generation_prompt=asking)
        assert render_chat(template, tokeniser, said, asking=asking) == text
    plain = unicodedata.normalize("NFKC", "\n".join(one.content for one in messages))
    if not any(mark in plain for mark in tokeniser.controls):
        ids = theirs.apply_chat_template(turns[:-1], add_generation_prompt=True)["input_ids"]
        assert prompt_ids(template, tokeniser, messages[:-1]).tolist() == list(ids)


def test_tool_calls_reach_the_template_with_their_arguments_as_an_object() -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": '{"city": "Köln"}'}}
    messages = [
        Message(role="user", content="where?"),
        Message(role="assistant", content="", tool_calls=(call,)),
        Message(role="tool", content="here", tool_call_id="1"),
    ]
    template, tokeniser = template_of("built-in chatml", "byte-level"), tokeniser_of("byte-level")
    text = render_chat(template, tokeniser, messages, asking=True)
    assert '{"name": "find", "arguments": {"city": "Köln"}}' in text
    assert messages[1].tool_calls[0]["function"]["arguments"] == '{"city": "Köln"}'


def test_a_date_is_the_same_on_every_day() -> None:
    assert run_template(compile_template("{{ strftime_now('%d %b %Y') }}"), {}) == "26 Jul 2024"


def test_a_control_token_stays_broken_through_json() -> None:
    for ascii in ("true", "false"):
        template = chat_template(
            "{% for m in messages %}<s>{{ {'é': m.content} | tojson(ensure_ascii="
            + ascii
            + ") }}</s>{% endfor %}"
        )
        tokeniser = tokeniser_of("byte-level")
        ids = prompt_ids(template, tokeniser, [Message(role="user", content="a</s>b")]).tolist()
        assert ids.count(tokeniser.eos_id) == 1
        text = render_chat(
            template, tokeniser, [Message(role="user", content="a</s>bé")], asking=True
        )
        assert json.loads(text[3:-4]) == {"é": "a</s>bé"}


# ---- hostile templates: refused at once, in little memory, with a code

NAMESPACE = (
    "{% set ns = namespace(x=START) %}{% for i in range(99) %}{% set ns.x = STEP %}{% endfor %}"
)


def grown(start: str, step: str, end: str) -> str:
    return NAMESPACE.replace("START", start).replace("STEP", step) + end


HOSTILE = {
    "a long range": "{% for i in range(10**9) %}{% endfor %}",
    "loops in loops": "{% for i in range(9999) %}{% for j in range(9999) %}{{ i }}{% endfor %}{% endfor %}",
    "a loop that keeps nothing": "{% for a in range(9999) %}{% for b in range(9999) if false %}{% endfor %}{% endfor %}",
    "one line of 1.57 GB": "{{ ('x' * 1570) * 1000000 }}",
    "a wide format": "{{ '%1570000000d' % 1 }}",
    "a wide format by star": "{{ '%*d' % (1570000000, 1) }}",
    "a format method": "{{ '{:>1570000000}'.format('x') }}",
    "a format method by name": "{{ 'x'['format'](1) }}",
    "center": "{{ 'x'.center(1570000000) }}",
    "center as a filter": "{{ 'x' | center(1570000000) }}",
    "indent": "{{ 'a\nb' | indent(1570000000) }}",
    "indent by a text": "{% set w = 'x' * 90000 %}{{ ('\n' * 90000) | indent(w) }}",
    "wide JSON": "{{ range(9999) | list | tojson(separators=('x' * 99999, ':')) }}",
    "wide JSON by its indent": "{{ [[[[1]]]] | tojson(indent=9999) }}",
    "indent by its last argument": "{% set w = 'x' * 90000 %}{{ ('\n' * 90000) | indent(first=true, width=w) }}",
    "zeros": "{{ '7'.zfill(1570000000) }}",
    "doubling": grown("'xxxx'", "ns.x ~ ns.x", "{{ ns.x }}"),
    "doubling by plus": grown("'xxxx'", "ns.x + ns.x", "{{ ns.x }}"),
    "doubling by a block": "{% set x = 'ab' %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40 + "{{ x }}",
    "replace": "{{ ('a' * 9999).replace('a', 'b' * 9999).replace('b', 'c' * 9999) }}",
    "replace as a filter": "{{ ['a' * 9999] | map('replace', 'a', 'b' * 9999) | join }}",
    "join": "{{ ('x' * 99999).join(range(99999) | list) }}",
    "lists in lists, shown": grown("[1]", "[ns.x, ns.x]", "{{ ns.x }}"),
    "lists in lists, as JSON": grown("[1]", "[ns.x, ns.x]", "{{ ns.x | tojson }}"),
    "lists in lists, compared": (
        "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(99) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}"
    ),
    "mappings in mappings": grown("{}", "{'a': ns.x, 'b': ns.x}", "{{ ns.x | string }}"),
    "a long list": "{{ ([0] * 99999) * 99999 }}",
    "large numbers": grown("7", "ns.x * ns.x", "{{ ns.x }}"),
    "powers": "{{ 10 ** (10 ** 8) }}",
    "a macro that calls itself": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "a macro that calls itself under loops": (
        "{% macro f(n) %}{% if n %}{% for i in range(50) %}{{ f(n - 1) }}{% endfor %}{% endif %}{% endmacro %}{{ f(9) }}"
    ),
    "a slice again and again": "{% set x = 'x' * 400000 %}{% for i in range(9999) %}{% set y = x[1:] %}{% endfor %}",
    "a comparison again and again": (
        "{% set x = 'x' * 200000 %}{% set y = x ~ 'y' %}{% for i in range(9999) %}{% if y in x %}{% endif %}{% endfor %}"
    ),
    "a wide date": "{{ strftime_now('%1000000000d') }}",
    "lipsum": "{{ lipsum(n=10000000) }}",
    "a cycle": "{% set c = cycler(1) %}{% for i in range(10**8) %}{{ c.next() }}{% endfor %}",
    "a way out by classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a way out by a filter": "{{ messages | attr('__class__') }}",
    "a way out by map": "{{ [messages] | map(attribute='__class__') | list | string | length or raise_exception('x') }}"
    "{{ dict.mro() }}",
    "a way out by a namespace": "{% set ns = namespace(__class__=1) %}",
    "another file": "{% include '/etc/passwd' %}",
    "another module": "{% import 'os' as os %}",
    "inheritance": "{% extends 'x' %}",
    "a changed list": "{{ messages.append(1) }}",
    "unpacked arguments": "{{ dict(**messages[0]) }}",
    "brackets without end": "{{ " + "(" * 90000 + "1" + ")" * 90000 + " }}",
    "signs without end": "{{ " + "-" * 90000 + "1 }}",
    "conditions without end": "{% if 1 %}" * 9000 + "{% endif %}" * 9000,
    "sums without end": "{{ " + "+".join(["1"] * 60000) + " }}",
    "a long text": " " * (MOST_TEMPLATE_CHARACTERS + 1),
    "no template": "{% for %}",
    "a refusal of everything": "{{ raise_exception('never') }}",
}  # fmt: skip
STOPPED = {"template-limits", "template-unsupported", "template-broken", "template-large", "template-refused"}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_stopped_early_and_in_little_memory(name: str) -> None:
    def stopped() -> str:
        with pytest.raises(BurnishError) as error:
            run_template(compile_template(HOSTILE[name]), {"messages": CHAT})
        return error.value.code

    before = time.process_time()
    assert stopped() in STOPPED
    assert time.process_time() - before < 3
    tracemalloc.start()
    try:
        stopped()
        assert tracemalloc.get_traced_memory()[1] < 96 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "name",
    [
        "one line of 1.57 GB",
        "a long range",
        "brackets without end",
        "sums without end",
        "lists in lists, shown",
    ],
)
def test_a_hostile_template_is_refused_when_it_is_taken_in(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with pytest.raises(BurnishError) as refused:
        try_template(HOSTILE[name], names={})
    assert refused.value.code in STOPPED
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 6


def test_the_trial_ends_by_force_what_the_budget_would_not() -> None:
    """The limits of the process hold on their own: an honest template is stopped where they are too small."""
    # 0.7 MB in pieces and as much joined, again and again: more than what a process has free within what it holds
    honest = "{% for a in messages[:1] %}{% for b in range(9) %}{{ '\U0001f469' * 20000 }}{% endfor %}{% endfor %}"
    try_template(honest, names=NAMES)
    with pytest.raises(BurnishError) as refused:
        try_template(honest, names=NAMES, memory_bytes=8 << 20)
    assert refused.value.code == "template-limits"


def test_a_trial_that_dies_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BurnishError) as refused:
        try_template("fine", names={})
    assert refused.value.code == "template-limits"


def test_a_request_of_any_size_is_rendered_within_its_own_measure() -> None:
    """A template that copies every turn for every turn: fine for a few, stopped before it fills the memory."""
    program = compile_template(
        "{% for a in messages %}{% for b in messages %}{{ b.content }}{% endfor %}{% endfor %}"
    )
    assert run_template(program, {"messages": CHAT}) == "onetwo" * 2
    many = [{"role": "user", "content": "word " * 200}] * 1000
    with pytest.raises(BurnishError) as stopped:
        run_template(program, {"messages": many})
    assert stopped.value.code == "template-limits"


def test_honest_templates_are_far_from_their_budget() -> None:
    long = [
        Message(role=("user", "assistant")[n % 2], content="A sentence. " * 300) for n in range(401)
    ]
    for shape in SHAPES:
        template = template_of(shape, "byte-level")
        assert render_chat(template, tokeniser_of("byte-level"), long, asking=True)


def test_what_chat_templates_use_works_as_in_jinja() -> None:
    text = """{%- macro line(role, text='-') -%}{{ role | upper ~ ':' ~ text }}{%- endmacro -%}
    {%- for m in messages if m.role != 'system' -%}
        {%- if loop.first %}[{% endif -%}
        {{ line(m.role, text=m['content'].strip().split('|')[-1]) }}
        {%- generation %}{{ loop.index0 }}{% endgeneration -%}
        {%- if not loop.last %}, {% else %}]{% break %}{% endif -%}
    {%- endfor -%}
    {{ messages[1:] | length }} {{ messages | map(attribute='role') | join('/') }} {{ [3, 1] | sort | first }}
    {%- for key, value in {'b': 1, 'a': 2} | dictsort %} {{ key }}={{ value }}{% endfor -%}
    {{ ' yes' if 'us' in messages[0].role and messages is not string and nothing is not defined else ' no' }}
    {{- (messages | selectattr('role', 'equalto', 'user') | list)[0].content.startswith('o') }}{{ '%s-%d' % ('a', 7) }}"""
    assert run_template(compile_template(text), {"messages": CHAT}) == (
        "[USER:one0, ASSISTANT:two1]1 user/assistant 1 a=2 b=1 yesTruea-7"
    )


# ---- where models keep their templates


def folder_with(tmp_path: Path, **files: object) -> Path:
    for name, value in files.items():
        file = tmp_path / name.replace("__", ".")
        file.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return tmp_path


def test_a_template_is_found_where_transformers_finds_it(tmp_path: Path) -> None:
    assert find_template(tmp_path) is None
    assert load_template(tmp_path) is None
    named = [{"name": "rag", "template": "r"}, {"name": "default", "template": "d"}]
    folder_with(tmp_path, tokenizer_config__json={"chat_template": named})
    assert find_template(tmp_path) == "d"
    folder_with(tmp_path, tokenizer_config__json={"chat_template": "c"})
    assert find_template(tmp_path) == "c"
    folder_with(tmp_path, chat_template__json={"chat_template": "j"})
    assert find_template(tmp_path) == "j"
    folder_with(tmp_path, chat_template__jinja="own {{ messages | length }}")
    found = load_template(tmp_path)
    assert found is not None
    assert render_chat(found, tokeniser_of("byte-level"), [], asking=True) == "own 0"


@pytest.mark.parametrize("said", [[{"name": "rag", "template": "r"}], 7, {"a": 1}])
def test_a_template_that_is_no_text_is_refused(said: object, tmp_path: Path) -> None:
    folder_with(tmp_path, tokenizer_config__json={"chat_template": said})
    with pytest.raises(BurnishError) as refused:
        find_template(tmp_path)
    assert refused.value.code == "template-broken"


def test_built_in_templates_are_chosen_by_name_and_ask_for_their_tokens() -> None:
    whole = tokeniser_of("byte-level")
    bare = chat_tokeniser(whole.tokenizer, max_tokens=10, names={})
    for tokeniser, name, code in (
        (whole, "chatlm", "template-unknown"),
        (bare, "plain", "template-tokens"),
    ):
        with pytest.raises(BurnishError) as refused:
            built_in_template(name, tokeniser=tokeniser)
        assert refused.value.code == code


def test_a_saved_folder_speaks_as_before(tmp_path: Path) -> None:
    """What is stored with a model is enough for transformers and for us."""
    template, tokeniser = template_of("built-in plain", "metaspace"), tokeniser_of("metaspace")
    stock("built-in plain", "metaspace").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}')
    assert (tmp_path / TEMPLATE_FILE).is_file()
    found, loaded = load_template(tmp_path), load_chat_tokeniser(tmp_path)
    assert found is not None
    assert loaded.max_tokens == 512
    messages = [Message(role="user", content="hello </s> there")]
    expected = prompt_ids(template, tokeniser, messages).tolist()
    assert prompt_ids(found, loaded, messages).tolist() == expected
    assert stop_ids(found, loaded) == stop_ids(template, tokeniser)


def test_a_template_without_a_stop_is_refused() -> None:
    template = chat_template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    with pytest.raises(BurnishError) as refused:
        stop_ids(template, tokeniser_of("byte-level"))
    assert refused.value.code in {"template-no-stop", "template-not-nested"}
