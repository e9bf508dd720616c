"""What is special about a format, an encoding or a limit; what all readers share is in test_readers.py."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
from datetime import date, datetime, time
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from burnish.data.decode import guess
from burnish.data.read import Asked, read_rows, sha256_of, sniff
from burnish.data.rows import MAX_ROW_CHARACTERS, Row
from burnish.errors import BurnishError
from burnish.records.dataset import Rejection
from reader_files import csv_bytes, json_bytes, jsonl_bytes, workbook_parts, xlsx_parts, zipped

TABLE = (["text", "label"], [["Où est ma carte ?", "a"], ["two\nlines", "b"]])


def read(path: Path, asked: Asked = Asked()) -> tuple[list[Row], list[Rejection]]:
    records = list(read_rows(path, facts=sniff(path, asked=asked)))
    rows = [one for one in records if isinstance(one, Row)]
    return rows, [one for one in records if isinstance(one, Rejection)]


def code_of(path: Path, asked: Asked = Asked()) -> str:
    with pytest.raises(BurnishError) as caught:
        read(path, asked)
    return caught.value.code


# --- gzip


@pytest.mark.parametrize(
    ("suffix", "data"),
    [(".csv", csv_bytes(TABLE)), (".jsonl", jsonl_bytes(TABLE)), (".json", json_bytes(TABLE))],
)
def test_gzip_changes_nothing(tmp_path: Path, suffix: str, data: bytes) -> None:
    (tmp_path / f"t{suffix}").write_bytes(data)
    half = len(data) // 2
    # two members, as `cat a.gz b.gz` makes them
    (tmp_path / f"t{suffix}.gz").write_bytes(
        gzip.compress(data[:half]) + gzip.compress(data[half:])
    )
    plain, packed = read(tmp_path / f"t{suffix}")[0], read(tmp_path / f"t{suffix}.gz")[0]
    assert [row.fields for row in plain] == [row.fields for row in packed]
    assert [row.where for row in packed] == [
        row.where.replace(suffix, f"{suffix}.gz") for row in plain
    ]


def _peak_of(path: Path) -> tuple[dict[str, int], int]:
    """Reasons and rows of a file, and the peak resident bytes of the process that read it."""
    script = (
        "import sys, json, collections, resource\n"
        "from pathlib import Path\n"
        "from burnish.data.read import read_rows, sniff\n"
        "import pyarrow.parquet, charset_normalizer\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "path = Path(sys.argv[1])\n"
        "found = collections.Counter(getattr(r, 'reason', 'row') for r in read_rows(path))\n"
        "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "print(json.dumps([found, (peak - before) * 1024]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True
    )
    found, peak = json.loads(done.stdout)
    return found, peak


LONG = 6 * MAX_ROW_CHARACTERS
ROW = {"text": "fine", "label": "a"}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".json", ".csv.gz"])
def test_a_row_of_100_million_characters_is_told_and_never_held(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"t{suffix}"
    begin, end, good = {
        ".csv": (b"text,label\nfine,a\n", b",b\r\n", b"fine,a\r\n"),
        ".jsonl": (
            b'{"text":"fine","label":"a"}\n{"text":"',
            b'"}\n',
            b'{"text":"fine","label":"a"}\n',
        ),
        ".json": (
            b'[{"text":"fine","label":"a"},\n{"text":"',
            b'"},\n',
            b'{"text":"fine","label":"a"}]',
        ),
    }[suffix.removesuffix(".gz")]
    with gzip.open(path, "wb", 1) if suffix.endswith("gz") else path.open("wb") as out:
        out.write(begin)
        for _ in range(LONG >> 20):
            out.write(b"\\n, { [ " * (1 << 17))
        out.write(end + good)
    found, peak = _peak_of(path)
    assert found == {"row": 2, "row-too-long": 1}
    # the row would be 96 MiB; what is let go of it is at most the limit, twice while it is copied
    assert peak < 80 << 20, f"{peak / 1e6:.0f} MB"


def test_the_places_after_a_long_row_are_right(tmp_path: Path) -> None:
    text = "x" * (MAX_ROW_CHARACTERS + 5)
    for ending in ("\n", "\r\n", "\r"):
        path = tmp_path / "t.csv"
        path.write_text(f"a,b\n{text},c{ending}d,e{ending}", newline="")
        rows, rejections = read(path)
        assert [(one.where, one.reason) for one in rejections] == [("t.csv:2", "row-too-long")]
        assert [row.where for row in rows] == ["t.csv:3"]
    path = tmp_path / "t.json"
    path.write_text('[{"a": "%s",\n"b": 1},\n\n{"a": "c"}]' % text)
    rows, rejections = read(path)
    assert [(one.where, one.reason) for one in rejections] == [("t.json:1", "row-too-long")]
    assert [row.where for row in rows] == ["t.json:4"]


def test_long_cells_of_parquet_and_workbooks_are_told(tmp_path: Path) -> None:
    text = "x" * (MAX_ROW_CHARACTERS + 5)
    table = (["text", "label"], [["fine", "a"], [text, "b"], ["fine", "c"]])
    pq.write_table(
        pa.table(dict(zip(table[0], zip(*table[1], strict=True), strict=True))),
        tmp_path / "t.parquet",
    )
    for shared in (True, False):
        # not to be dense: the limit on unpacking is another law's
        parts = xlsx_parts(table, shared=shared)
        out = io.BytesIO()
        import zipfile

        with zipfile.ZipFile(out, "w") as archive:
            for name, data in parts.items():
                archive.writestr(name, data)
        (tmp_path / "t.xlsx").write_bytes(out.getvalue())
        for path in (tmp_path / "t.parquet", tmp_path / "t.xlsx"):
            rows, rejections = read(path)
            assert [one.reason for one in rejections] == ["row-too-long"], path
            assert [row.fields["label"] for row in rows] == ["a", "c"]


# --- delimiters and encodings


@pytest.mark.parametrize("delimiter", ["^", "~", ":", "\x01", "\x1f", "\x1e"])
def test_rare_delimiters_are_found(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "t.csv"
    lines = [("text", "label"), ("first, and more", "a"), ("then; last", "b")]
    path.write_text("".join(f"{delimiter.join(line)}\n" for line in lines))
    assert sniff(path).delimiter == delimiter
    assert [tuple(row.fields.values()) for row in read(path)[0]] == lines[1:]


def test_an_asked_delimiter_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text("text,more#label\nx,y#a\n")
    rows, _ = read(path, Asked(delimiter="#"))
    assert rows[0].fields == {"text,more": "x,y", "label": "a"}


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("texts", ["plain words", "カードが届きません", "Где моя карта?"])
def test_wide_encodings_without_a_mark_are_guessed_and_said(
    tmp_path: Path, encoding: str, texts: str
) -> None:
    path = tmp_path / "t.csv"
    rows = [[f"{texts} {number}", "a"] for number in range(5)]
    path.write_bytes(csv_bytes((["text", "label"], rows)).decode().encode(encoding))
    facts = sniff(path)
    assert facts.encoding == encoding
    assert [issue.code for issue in facts.issues] == ["encoding-guessed"]
    assert [list(row.fields.values()) for row in read(path)[0]] == rows


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_wide_encoding_asked_for_needs_no_mark(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("text,label\nwhere is it,a\n".encode(encoding))
    facts = sniff(path, asked=Asked(encoding=encoding[:6]))
    assert facts.encoding == encoding and facts.columns == ("text", "label")


def test_what_needs_a_mark_is_never_guessed() -> None:
    """Found by the soak of 2026-11-22: charset-normalizer names UTF-16 for noise, and its decoder wants a mark."""
    chance = random.Random(5)
    for _ in range(300):
        noise = bytes(chance.choice(b'ab {}"\n\xe9\xff\x98\xd8\xdc') for _ in range(60))
        try:
            assert guess(noise, name="t.csv") not in ("utf_16", "utf_32")
        except BurnishError as error:
            assert error.code == "encoding-unclear"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_marks_are_believed_and_taken_away(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(csv_bytes(TABLE).decode().encode(encoding))
    facts = sniff(path)
    assert (facts.encoding, facts.issues, facts.columns) == (encoding, (), ("text", "label"))
    family = encoding[:6].rstrip("-")
    assert sniff(path, asked=Asked(encoding=family)).columns == ("text", "label")


def test_an_asked_encoding_is_believed_and_checked(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("text,label\nż,a\n".encode("cp1250"))
    facts = sniff(path, asked=Asked(encoding="windows-1250"))
    assert (facts.encoding, facts.issues) == ("cp1250", ())
    assert read(path, Asked(encoding="windows-1250"))[0][0].fields["text"] == "ż"
    for name in ("cp125O", "base64", "unicode_escape", "undefined", ""):
        assert code_of(path, Asked(encoding=name)) == "encoding-unknown"
    # asked for UTF-8, the row that is not says so
    assert [r.reason for r in read(path, Asked(encoding="utf-8"))[1]] == ["undecodable"]


def test_lines_of_two_encodings_are_told_apart(tmp_path: Path) -> None:
    """More lines of Windows-1252 than of UTF-8: read as either, the others would be silently wrong."""
    path = tmp_path / "t.csv"
    good = ["déjà vu", "être là", "où ça"]
    bad = ["état", "à côté", "très tôt", "après l'été", "réglé"]
    lines = [f"{text},a\n".encode() for text in good] + [
        f"{text},b\n".encode("cp1252") for text in bad
    ]
    path.write_bytes(b"text,label\n" + b"".join(lines))
    assert [issue.code for issue in sniff(path).issues] == ["undecodable-bytes"]
    rows, rejections = read(path)
    assert [row.fields["text"] for row in rows] == good
    assert [one.where for one in rejections] == [f"t.csv:{line}" for line in range(5, 10)]


def test_a_key_that_is_no_text_rejects_its_row(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes('{"é": "ü"}\n'.encode() + b'{"a\xff": "b"}\n{"\\u0000": "c"}\n')
    assert [one.reason for one in read(path)[1]] == ["undecodable", "undecodable"]


def test_elements_on_one_line_have_places_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"a": 1}, {"a": 2},\n{"a": 3}, {"a": }]')
    assert [row.where for row in read(path)[0]] == ["t.json:1", "t.json:1#2", "t.json:2"]
    assert read(path)[1][0].where == "t.json:2#2"


# --- workbooks


def test_cells_of_a_real_workbook(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(["text", "value"])
    values = {
        "007": "007", "text": 7, "NA": 7.0, "null": 0.1, "1e5": 1e5, "d": date(2024, 1, 2),
        "t": datetime(2024, 1, 2, 3, 4, 5), "clock": time(13, 45), "yes": True, "no": False, "big": 12345678901234,
        "neg": -2.5, "": "only the value", "ctl": "a\tb\nc", "x_x": "é 👍",
    }  # fmt: skip
    for text, value in values.items():
        sheet.append([text, value])
    path = tmp_path / "t.xlsx"
    book.save(path)
    rows, rejections = read(path)
    assert rejections == []
    assert {row.fields["text"]: row.fields["value"] for row in rows} == {
        "007": "007", "text": "7", "NA": "7", "null": "0.1", "1e5": "100000", "d": "2024-01-02",
        "t": "2024-01-02T03:04:05", "clock": "13:45:00", "yes": "TRUE", "no": "FALSE", "big": "12345678901234",
        "neg": "-2.5", "": "only the value", "ctl": "a\tb\nc", "x_x": "é 👍",
    }  # fmt: skip
    assert [row.where for row in rows] == [f"t.xlsx:{line}" for line in range(2, len(values) + 2)]


def workbook(tmp_path: Path, rows: str, **around: object) -> Path:
    path = tmp_path / "t.xlsx"
    path.write_bytes(zipped(workbook_parts(rows, **around)))  # type: ignore[arg-type]
    return path


HEAD = '<row r="1"><c r="A1" t="str"><v>text</v></c><c r="B1" t="str"><v>label</v></c></row>'


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ('<c r="A2" t="e"><v>#N/A</v></c>', "cell-error"),
        ('<c r="A2"><f>B1&amp;"x"</f></c>', "formula-unsaved"),
        ('<c r="A2" t="s"><v>5</v></c>', "broken-cell"),
        ('<c r="A2" t="s"><v>x</v></c>', "broken-cell"),
        ('<c r="A2"><v>1_0</v></c>', "broken-cell"),
        ('<c r="A2"><v>1e999</v></c>', "broken-cell"),
        ('<c r="A2" t="b"><v>2</v></c>', "broken-cell"),
        ('<c r="B2"><v>1</v></c><c r="A2"><v>1</v></c>', "broken-cell"),
        ('<c r="A2"><v>1</v></c><c r="A2"><v>2</v></c>', "broken-cell"),
        ('<c r="C2"><v>1</v></c>', "ragged-row"),
        ('<c r="XFE2"><v>1</v></c>', "broken-cell"),
        ('<c t="str"><v>_x0000_</v></c>', "nul-character"),
        ('<c t="str"><v>_xD800_</v></c>', "undecodable"),
    ],
)
def test_a_cell_nobody_can_read_rejects_its_row(tmp_path: Path, cells: str, reason: str) -> None:
    good = '<row r="5"><c r="A5" t="str"><f>"a"</f><v>a</v></c><c r="B5" t="str"><f>x</f><v></v></c></row>'
    path = workbook(tmp_path, f'{HEAD}<row r="2">{cells}</row><row r="3"/>{good}')
    rows, rejections = read(path)
    assert [(one.where, one.reason) for one in rejections] == [("t.xlsx:2", reason)]
    assert [(row.where, row.fields) for row in rows] == [("t.xlsx:5", {"text": "a", "label": ""})]


@pytest.mark.parametrize(
    ("number", "style", "shown"),
    [
        ("45293", 14, "2024-01-02"), ("45293.5", 22, "2024-01-02T12:00:00"), ("0.5", 20, "12:00:00"),
        ("1", 14, "1900-01-01"), ("59", 14, "1900-02-28"), ("60", 14, "60"), ("61", 14, "1900-03-01"),
        ("-1", 14, "-1"), ("3e9", 14, "3000000000"), ("1.25", 46, "30:00:00"), ("1.25", 2, "1.25"),
        ("45293", 164, "2024-01-02"), ("3", 165, "3"), ("0.1", 0, "0.1"), ("1.1000000000000001", 0, "1.1"),
    ],
)  # fmt: skip
def test_numbers_are_shown_as_their_format_says(
    tmp_path: Path, number: str, style: int, shown: str
) -> None:
    styles = (
        '<numFmts><numFmt numFmtId="164" formatCode="dd\\.mm\\.yy"/>'
        '<numFmt numFmtId="165" formatCode="0&quot; days&quot;"/></numFmts>'
        f'<cellXfs><xf numFmtId="0"/><xf numFmtId="{style}"/></cellXfs>'
    )
    path = workbook(tmp_path, f'{HEAD}<row r="2"><c s="1"><v>{number}</v></c></row>', styles=styles)
    assert read(path)[0][0].fields["text"] == shown


def test_other_sheets_merged_cells_and_hidden_rows_are_said(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.title = "Empty"
    for name in ("Tickets", "Notes"):
        sheet = book.create_sheet(name)
        for row in (["text", "label"], ["a", "x"], ["b", None], ["c", "y"]):
            sheet.append(row)
    book["Tickets"].merge_cells("B2:B3")
    book["Tickets"].row_dimensions[4].hidden = True
    secret = book.create_sheet("Secret", 0)
    secret.append(["no", "rows"])
    secret.sheet_state = "hidden"
    path = tmp_path / "t.xlsx"
    book.save(path)
    facts = sniff(path)
    assert facts.sheet == "Tickets"
    assert {issue.code: issue.count for issue in facts.issues} == {
        "sheets-unread": 2, "cells-merged": 1, "rows-hidden": 1
    }  # fmt: skip
    assert [row.fields["label"] for row in read(path)[0]] == ["x", "", "y"]


def test_hostile_workbooks_are_refused_before_they_cost_anything(tmp_path: Path) -> None:
    entities = '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]>'
    parts = workbook_parts(HEAD)
    sheet = "xl/worksheets/sheet1.xml"
    declared = {**parts, sheet: entities.encode() + parts[sheet].replace(b"text", b"&y;")}
    bomb = workbook_parts(HEAD + f'<row r="2"><c t="str"><v>{" " * (80 << 20)}</v></c></row>')
    wide = workbook_parts(HEAD + f'<row r="2"><c t="{"s" * (2 << 20)}"/></row>')
    backwards = workbook_parts(
        f'{HEAD}<row r="9"><c><v>1</v></c></row><row r="9"><c><v>2</v></c></row>'
    )
    for content, code in (
        (declared, "file-broken"),
        (bomb, "file-too-dense"),
        (wide, "file-broken"),
        (backwards, "file-broken"),
        ({"word/document.xml": b"<x/>"}, "file-broken"),
    ):
        path = tmp_path / "t.xlsx"
        path.write_bytes(zipped(content))
        assert code_of(path) == code


# --- a folder for each label


def test_a_folder_for_each_label_is_a_table(tmp_path: Path) -> None:
    root = tmp_path / "reviews"
    files = {
        "pos/1.txt": "Très bien".encode(), "pos/2": b"good", "neg/old/3.txt": "Über größere Städte".encode("cp1252"),
        "neg/4.txt": "wide".encode("utf-16"), "neg/5.pdf": b"%PDF", "neg/6.txt": b"\x89PNG\0\0\0",
        "README.txt": b"about", "pos/.hidden": b"no row", ".git/x.txt": b"no row", "neg/7.txt": b"nul \0",
    }  # fmt: skip
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "link").symlink_to(root / "pos")
    os.mkfifo(root / "neg" / "8.txt")
    facts = sniff(root)
    assert facts.columns == ("text", "label")
    assert [(issue.code, issue.rows) for issue in facts.issues] == [
        ("encoding-guessed", ("reviews/neg/old/3.txt",))
    ]
    rows, rejections = read(root)
    assert {(row.where, row.fields["text"], row.fields["label"]) for row in rows} == {
        ("reviews/neg/4.txt", "wide", "neg"), ("reviews/neg/old/3.txt", "Über größere Städte", "neg"),
        ("reviews/pos/1.txt", "Très bien", "pos"), ("reviews/pos/2", "good", "pos"),
    }  # fmt: skip
    assert {one.where: one.reason for one in rejections} == {
        "reviews/README.txt": "outside-label-folder", "reviews/link": "file-not-regular",
        "reviews/neg/5.pdf": "file-unknown-type", "reviews/neg/6.txt": "file-binary",
        "reviews/neg/7.txt": "nul-character", "reviews/neg/8.txt": "file-not-regular",
    }  # fmt: skip


def test_a_folder_s_hash_is_of_its_names_and_bytes(tmp_path: Path) -> None:
    root = tmp_path / "reviews"
    for label in ("pos", "neg"):
        (root / label).mkdir(parents=True)
        (root / label / "1.txt").write_text(label)
    seen = {sha256_of(root, name="reviews")}
    (root / "pos" / "1.txt").write_text("changed")
    seen.add(sha256_of(root, name="reviews"))
    (root / "pos" / "1.txt").rename(root / "pos" / "2.txt")
    seen.add(sha256_of(root, name="reviews"))
    assert len(seen) == 3


# --- a file that changes


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx", "/"])
@pytest.mark.parametrize("what", ["appended", "replaced", "same size", "gone"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, suffix: str, what: str
) -> None:
    path = tmp_path / f"t{suffix}"
    if suffix == "/":
        (path / "pos").mkdir(parents=True)
        target = path / "pos" / "1.txt"
        target.write_text("a")
        (path / "pos" / "2.txt").write_text("b")
    else:
        target = path
        rows = [[f"text {number}", "a"] for number in range(4000)]
        if suffix == ".csv":
            path.write_bytes(csv_bytes((["text", "label"], rows)))
        elif suffix == ".xlsx":
            path.write_bytes(zipped(xlsx_parts((["text", "label"], rows))))
        else:
            pq.write_table(pa.table({"text": [row[0] for row in rows]}), path)
    records = read_rows(path)
    next(records)
    data = target.read_bytes()
    if what == "appended":
        target.write_bytes(data + b"more,b\n")
    elif what == "replaced":
        fresh = tmp_path / "fresh"
        fresh.write_bytes(data)
        os.utime(fresh, ns=(target.stat().st_atime_ns, target.stat().st_mtime_ns))
        fresh.replace(target)
    elif what == "same size":
        target.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    else:
        target.unlink()
    with pytest.raises(BurnishError) as caught:
        list(records)
    assert caught.value.code in (
        ("not-readable", "file-changed") if what == "gone" else ("file-changed",)
    )
