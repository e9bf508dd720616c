"""Every row can be shown with the tokens that carry loss, whatever its family."""

from __future__ import annotations

from burnish.encode.show import shown_tokens
from burnish.encode.supervise import seq2seq_row, supervise
from burnish.records.message import Message
from chat_scenes import template_of, tokeniser_of

TURNS = [
    Message(role="user", content="hello </s>"),
    Message(role="assistant", content="the time", train=False),
    Message(role="user", content="now?"),
    Message(role="assistant", content="is now é"),
]


def test_a_decoders_row_shows_what_it_must_say() -> None:
    tokeniser = tokeniser_of("byte-level")
    row = supervise(template_of("chatml", "byte-level"), tokeniser, TURNS).row
    views = shown_tokens(row, tokenizer=tokeniser.tokenizer)
    assert [view.id for view in views] == row.ids_T.tolist()
    asked = [view for view in views if view.role == "supervised"]
    assert (
        tokeniser.tokenizer.decode([one.id for one in asked], skip_special_tokens=False)
        == "is now é<|im_end|>"
    )
    assert {view.token for view in views if view.role == "special"} == {
        "<|im_start|>",
        "<|im_end|>",
    }
    assert "</s>" not in {view.token for view in views}


def test_an_encoder_decoders_row_shows_both_sides() -> None:
    tokeniser = tokeniser_of("unigram")
    row = seq2seq_row(tokeniser, TURNS, start_id=0)
    views = shown_tokens(row, tokenizer=tokeniser.tokenizer)
    assert row.source_T is not None
    assert [one.id for one in views] == [*row.source_T.tolist(), *row.targets_T.tolist()]
    asked = [one.role == "supervised" for one in views]
    assert asked == [False] * len(row.source_T) + [True] * len(row.targets_T)
    assert views[-1].token == "</s>"
