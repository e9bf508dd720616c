"""Each rule does what its line in docs/define.md says, is counted, and lives in the bundle of what was trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from burnish.data.changes import TRIED_ROWS, Changes
from burnish.data.dataset import make_dataset
from burnish.data.examples import read_examples
from burnish.data.normalise import normalise
from burnish.data.rows import Row
from burnish.deploy.bundle import TASK_FILE, load_task_of, open_bundle
from burnish.evaluate.predict import predict
from burnish.records.record import content_id
from burnish.records.task import DataFiles, Normalise, Task
from burnish.tasks.load import load_task
from deployed import bundle_of, make_workspace
from support_task import make_task


@pytest.mark.parametrize(
    ("rule", "text", "plain"),
    [
        ({"html": True}, "Fish &amp;amp; chips &lt;b&gt; caf&eacute; &#8364;", "Fish & chips <b> café €"),
        ({"html": True}, "?a=1&copy=2 &notit; &#0; &#xD800; &#99999999; AT&T &;", None),
        ({"html": True}, "&#150;", "–"),  # as browsers read it: Windows-1252
        ({"mojibake": True}, "Ã©tÃ© donâ€™t", "été don’t"),
        ({"mojibake": True}, "whole line é\nbroken Ã©", "whole line é\nbroken é"),
        ({"mojibake": True}, "“curly” ﬁne ＡＢＣ &amp; \x1b[0m é", None),
        ({"unicode": "NFC"}, "e\u0301 \uff21 ﬁ m²", "é \uff21 ﬁ m²"),
        ({"unicode": "NFKC"}, "e\u0301 \uff21 ﬁ m²", "é A fi m2"),
        ({"control": True}, "a\x00b\x1bc\td\r\ne\x0bf\x85g", "abc\td\r\ne\nf\ng"),
        ({"zero_width": True}, "\ufeffa\u200bb\xadc\u202ed\u2060e\u200df\U000e0041", "abcdef"),
        ({"zero_width": True}, "👩‍👩‍👧‍👦 🏳️‍🌈 👩🏽‍🚀 ❤️‍🔥", None),
        ({"zero_width": True}, "\U0001f3f4\U000e0067\U000e0062\U000e007f", None),
        ({"zero_width": True}, "می‌خواهم SMS‌ها क्‍ष ශ්‍රී", None),
        ({"whitespace": True}, " a \t\xa0b\u3000c \r\n d\u2028\n\n\n e ", "a b c\nd\n\ne"),
    ],
)  # fmt: skip
def test_a_rule_does_what_its_line_says(
    rule: dict[str, object], text: str, plain: str | None
) -> None:
    assert normalise(Normalise.model_validate(rule), text) == (text if plain is None else plain)


def test_an_id_from_before_there_were_rules_stays(tmp_path: Path) -> None:
    task = make_task()
    assert task.id == "62c08d2ebd2a342d"
    assert make_task(normalise=Normalise()).id == task.id
    assert "normalise" not in task.model_dump_json()
    ids = {make_task(normalise={"html": True}).id, make_task(normalise={"unicode": "NFC"}).id}
    assert len({*ids, task.id}) == 3
    kept = Task.model_validate_json(make_task(normalise={"html": True}).model_dump_json())
    assert kept.normalise == Normalise(html=True)


def test_what_differs_in_nothing_is_one_text_for_checks_and_splits(tmp_path: Path) -> None:
    lines = [
        "text,intent",
        "Fish &amp; chips,refund",
        "Fish & chips,refund",
        "  Fish & chips,other",
    ]
    lines += ["&nbsp;,other", *(f"row {n},{'refund' if n % 2 else 'other'}" for n in range(40))]
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    task = make_task(data=DataFiles(train=("t.csv",)), normalise={"html": True, "whitespace": True})
    workspace = make_workspace(tmp_path)
    read = read_examples(task, tmp_path)
    (told,) = [issue for issue in read.issues if issue.code == "normalised"]
    assert told.what == "html changed 2 rows, whitespace 2, as [normalise] asks"
    assert (told.count, told.rows) == (3, ("t.csv:2", "t.csv:4", "t.csv:5"))
    assert [one.reason for one in read.rejections] == ["empty-text"]
    dataset = make_dataset(task, read, workspace, salt="s", at="2026-01-01T00:00:00Z")
    assert dataset.rejected == {"conflict": 3, "empty-text": 1}
    assert "normalised" in {issue.code for issue in dataset.issues}
    # without the rules the three are three texts, and a note says what the rules would do
    plain = task.model_copy(update={"normalise": Normalise()})
    (note,) = read_examples(plain, tmp_path).issues
    assert (note.code, note.severity, note.count) == ("normalise-would", "note", 3)
    assert "html would change 2 rows, whitespace 1" in note.what
    lines_to_add = note.fix.partition("\n")[2]
    assert lines_to_add == "[normalise]\nhtml = true\nwhitespace = true"


def test_the_rules_that_are_off_are_tried_on_so_many_rows() -> None:
    changes = Changes(make_task(normalise={"html": True}))
    for line in range(TRIED_ROWS + 5):
        changes.count(Row(where=f"t.csv:{line}", fields={"text": "a  &lt; b"}))
    normalised, would = changes.issues()
    assert normalised.count == TRIED_ROWS + 5 and len(normalised.rows) == 20
    assert would.count == TRIED_ROWS and f"of the first {TRIED_ROWS:,}" in would.what


def test_a_bundle_goes_on_with_the_rules_it_was_made_with(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path)
    old = bundle_of(workspace, (0.6, 0.3, 0.1))
    new = bundle_of(workspace, (0.6, 0.3, 0.1), task=make_task(normalise={"html": True}))
    assert old.id != new.id
    text = {"text": "Fish &amp; chips"}
    for bundle, read in ((old, "Fish &amp; chips"), (new, "Fish & chips")):
        opened = open_bundle(workspace.bundles / bundle.id, bundle_id=bundle.id)
        (answer,) = predict(opened.fitted, opened.task, [text])
        assert answer.encoding.text == read
    # a bundle from before there were rules has no such key, and this one reads the same
    folder = workspace.bundles / old.id
    assert "normalise" not in json.loads((folder / TASK_FILE).read_text(encoding="utf-8"))
    assert load_task_of(folder).normalise == Normalise()


def test_wrong_rules_are_told_with_the_nearest_name(tmp_path: Path, burnish) -> None:
    (tmp_path / "t.csv").write_text("text,intent\na,x\nb,y\n")
    (tmp_path / "task.toml").write_text(
        'name = "t"\nkind = "classification"\ninputs = ["text"]\nlabel = "intent"\n'
        'primary_metric = "accuracy"\n[data]\ntrain = ["t.csv"]\n[normalise]\nhtlm = true\n'
        'unicode = "nfc"\ncontrol = "yes"\n[[labels]]\nname = "x"\n[[labels]]\nname = "y"\n'
    )
    told = burnish("data", "check", cwd=tmp_path, code=1).stderr
    assert 'unknown key "htlm" in [normalise]' in told and '(nearest: "html")' in told
    assert 'unicode = "nfc"' in told and "one of: off, NFC, NFKC" in told
    assert "true or false, without quotes" in told


def test_the_page_of_the_rules_is_right(tmp_path: Path) -> None:
    """The full example of docs/define.md turns every rule on, and its identity is its own."""
    page = (Path(__file__).parents[2] / "docs" / "define.md").read_text(encoding="utf-8")
    (tmp_path / "task.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    task = load_task(tmp_path / "task.toml")
    rules = task.normalise
    assert all(getattr(rules, name) not in (False, "off") for name in Normalise.model_fields)
    exclude = {"data", "audit", "keep_days", "redact", "monitor", "retrain", "normalise"}
    assert task.id != content_id(task.model_dump(mode="json", exclude=exclude))
