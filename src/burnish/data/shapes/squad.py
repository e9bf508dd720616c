"""SQuAD's nested form: articles of paragraphs of questions, each question a row.

Source: the files of SQuAD v1.1 and v2.0 (data[].paragraphs[].qas[]); the flat columns are those of the
published tables: id, title, context, question, answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from burnish.data.json_cells import JsonObject, compact, row_of
from burnish.data.rows import Row
from burnish.records.dataset import Rejection

title = "SQuAD questions"

_OWN = ("id", "question", "answers", "plausible_answers")


def fits(found: JsonObject) -> bool:
    """Whether the object is an article: a list of paragraphs, each with its context and questions."""
    paragraphs = found.get("paragraphs")
    return isinstance(paragraphs, list) and all(
        isinstance(one, dict) and "context" in one and isinstance(one.get("qas"), list)
        for one in paragraphs
    )


def rows(found: JsonObject, *, where: str) -> Iterator[Row | Rejection]:
    """A row for each question: id, title, context, question, answers, then the question's other keys.

    `answers` is {"text":[...],"answer_start":[...]} as compact JSON, as it is for `plausible_answers`.
    """
    paragraphs = found["paragraphs"]
    for place, paragraph in enumerate(paragraphs if isinstance(paragraphs, list) else ()):
        for number, question in enumerate(paragraph["qas"]):
            inner = f"{where}#paragraphs[{place}].qas[{number}]"
            if not isinstance(question, dict) or "question" not in question:
                detail = "a question without its text"
                yield Rejection(where=inner, reason="shape-mismatch", detail=detail)
                continue
            fields: JsonObject = {
                "id": question.get("id"),
                "title": found.get("title"),
                "context": paragraph["context"],
                "question": question["question"],
                "answers": _columns(question.get("answers")),
            }
            if "plausible_answers" in question:
                fields["plausible_answers"] = _columns(question["plausible_answers"])
            fields |= {k: v for k, v in question.items() if k not in _OWN}
            yield row_of(fields, where=inner)


def _columns(answers: object) -> str:
    found = [one for one in answers if isinstance(one, dict)] if isinstance(answers, list) else []
    return compact({key: [one.get(key) for one in found] for key in ("text", "answer_start")})
