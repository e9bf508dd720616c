"""What every file reader promises: text as written, every record told, the right line, no other exception."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from burnish.data.read import FOLDER, READERS, columns_of, read_rows, sniff
from burnish.data.rows import FileFacts, Row
from burnish.errors import BurnishError
from burnish.records.dataset import Rejection
from reader_files import TRAPS, WRITERS, Table, csv_bytes, json_bytes

SAMPLES = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
cells = st.one_of(
    st.sampled_from(TRAPS),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    """Two to four named columns, one to six rows; a blank line in CSV would be no row, so no such row."""
    names = draw(
        st.lists(
            st.text(st.characters(categories=["L", "Nd"]), min_size=1, max_size=8),
            min_size=2,
            max_size=4,
            unique=True,
        )
    )
    row = st.lists(cells, min_size=len(names), max_size=len(names))
    return names, draw(st.lists(row, min_size=1, max_size=6))


def write_csv(path: Path, table: Table, delimiter: str = ",", encoding: str = "utf-8") -> None:
    path.write_bytes(csv_bytes(table, delimiter=delimiter).decode().encode(encoding))


def write_json(path: Path, table: Table) -> None:
    path.write_bytes(json_bytes(table))


def read(path: Path) -> tuple[list[Row], list[Rejection]]:
    rows, rejections = [], []
    for record in read_rows(path):
        (rows if isinstance(record, Row) else rejections).append(record)
    return rows, rejections


def test_every_reader_has_a_writer_in_this_law() -> None:
    assert {*WRITERS, FOLDER} == set(READERS)


@pytest.mark.parametrize("suffix", WRITERS)
@SAMPLES
@given(table=tables())
def test_a_table_reads_back_as_written(tmp_path: Path, suffix: str, table: Table) -> None:
    names, rows = table
    # a row of empty cells is a row where quotes say so; in a sheet nothing tells it from no row
    assume(suffix != ".xlsx" or all(any(row) for row in rows))
    path = tmp_path / f"t{suffix}"
    path.write_bytes(WRITERS[suffix](table))
    found, rejections = read(path)
    assert rejections == []
    assert [row.fields for row in found] == [dict(zip(names, row, strict=True)) for row in rows]
    assert columns_of(path) == names


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@SAMPLES
@given(table=tables())
def test_delimiter_and_encoding_change_nothing(
    tmp_path: Path, encoding: str, delimiter: str, table: Table
) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, table, delimiter=delimiter, encoding=encoding)
    facts = sniff(path)
    assert (facts.delimiter, facts.encoding) == (delimiter, encoding)
    found, rejections = read(path)
    assert rejections == []
    assert [list(row.fields.values()) for row in found] == table[1]


@SAMPLES
@given(table=tables())
def test_csv_places_are_physical_lines(tmp_path: Path, table: Table) -> None:
    path = tmp_path / "t.csv"
    write_csv(path, table)
    text = path.read_bytes().decode()
    lines = io.StringIO(text, newline="").readlines()
    for row in read(path)[0]:
        line = int(row.where.rpartition(":")[2])
        record = next(csv.reader(io.StringIO("".join(lines[line - 1 :]), newline="")))
        assert record == list(row.fields.values())


@SAMPLES
@given(table=tables())
def test_json_places_are_physical_lines(tmp_path: Path, table: Table) -> None:
    path = tmp_path / "t.json"
    write_json(path, table)
    lines = path.read_text(encoding="utf-8").split("\n")
    for row in read(path)[0]:
        line = int(row.where.rpartition(":")[2])
        assert lines[line - 1].strip() == "{"
        found, _ = json.JSONDecoder().raw_decode("\n".join(lines[line - 1 :]).lstrip())
        assert found == row.fields


def damaged() -> st.SearchStrategy[Callable[[bytes], bytes]]:
    """Ways a file gets broken on its way: cut, spliced, a byte changed, NULs, another encoding."""

    def cut(share: float) -> Callable[[bytes], bytes]:
        return lambda data: data[: int(len(data) * share)]

    def splice(share: float, piece: bytes) -> Callable[[bytes], bytes]:
        return lambda data: data[: int(len(data) * share)] + piece + data[int(len(data) * share) :]

    def recode(encoding: str) -> Callable[[bytes], bytes]:
        return lambda data: data.decode("utf-8", "replace").encode(encoding, "replace")

    share = st.floats(0, 1)
    pieces = st.one_of(
        st.binary(min_size=1, max_size=6),
        st.sampled_from(
            [b"\0", b'"', b'\n"', b",", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n\n", b"[", b"}",
             b"]", b"{", b'{"a":1}\n', b"\\", b"\\u0000", b'"\\ud800"', b"NaN", b"1e999", b"\xed\xa0\x80"]
        ),
    )  # fmt: skip
    return st.one_of(
        st.builds(cut, share),
        st.builds(splice, share, pieces),
        st.sampled_from(["utf-16", "utf-16-le", "cp1252", "utf-8-sig", "shift_jis"]).map(recode),
    )


@pytest.mark.parametrize("suffix", WRITERS)
@settings(SAMPLES, max_examples=40)
@given(table=tables(), harm=st.lists(damaged(), min_size=1, max_size=3))
def test_damage_raises_nothing_but_our_error_and_every_record_is_told(
    tmp_path: Path, suffix: str, table: Table, harm: list[Callable[[bytes], bytes]]
) -> None:
    path = tmp_path / f"t{suffix}"
    data = WRITERS[suffix](table)
    for hurt in harm:
        data = hurt(data)
    path.write_bytes(data)
    try:
        facts = sniff(path)
        rows, rejections = read(path)
    except BurnishError as error:
        assert all(problem.code and problem.what and problem.where for problem in error.problems)
        return
    places = [record.where for record in (*rows, *rejections)]
    assert len(set(places)) == len(places), "a record was told twice"
    for row in rows:
        assert not any("\0" in text for text in row.fields.values())
        "".join(row.fields.values()).encode()  # nothing in it that could not be stored
    if suffix in (".jsonl", ".ndjson") and facts.encoding in ("utf-8", "utf-8-sig"):
        bodies = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        assert len(places) == sum(bool(body.strip(b" \t\r\n")) for body in bodies)
    if suffix in (".csv", ".tsv", ".txt"):
        _every_line_is_accounted_for(path, facts, rows, rejections)


def _every_line_is_accounted_for(
    path: Path, facts: FileFacts, rows: list[Row], rejections: list[Rejection]
) -> None:
    """Between one record's line and the next there are only that record's own lines, or blank ones."""
    with path.open(encoding=facts.encoding, errors="replace", newline="") as handle:
        lines = handle.readlines()
    told = {int(record.where.rpartition(":")[2]): record for record in (*rows, *rejections)}
    starts = sorted(told)
    for line, following in zip(starts, [*starts[1:], len(lines) + 1], strict=True):
        record = told[line]
        if isinstance(record, Rejection) and record.reason == "broken-quoting":
            # nothing but its first line is lost: reading went on with the next
            assert not any(text.strip("\r\n") for text in lines[line : following - 1])


def test_one_broken_quote_costs_one_line(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text,label\nfine,a\n"never closed,b\nalso fine,c\n"two\nlines",d\nshort\n')
    rows, rejections = read(path)
    assert [(row.where, row.fields["text"]) for row in rows] == [
        ("t.csv:2", "fine"),
        ("t.csv:4", "also fine"),
        ("t.csv:5", "two\nlines"),
    ]
    assert [(r.where, r.reason) for r in rejections] == [
        ("t.csv:3", "broken-quoting"),
        ("t.csv:7", "ragged-row"),
    ]


def test_backslash_quoting_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text,label\n"she said \\"no\\", twice",a\n"plain, too",b\n')
    rows, rejections = read(path)
    assert rejections == []
    assert rows[0].fields["text"] == 'she said "no", twice'


def test_a_backslash_export_is_as_strict_about_its_quotes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('text,label\n"she said \\"no\\"",a\n"shut"here,b\n"a\\"b",c\n5" disk,d\n')
    rows, rejections = read(path)
    assert [row.fields["text"] for row in rows] == ['she said "no"', 'a"b', '5" disk']
    assert [(r.where, r.reason) for r in rejections] == [("t.csv:3", "broken-quoting")]


def test_a_rare_delimiter_beside_commas_and_backslashes_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('"a"\x1f"b"\x1f"c,d"\n' + '"x"\x1f"back\\slash"\x1f"\\u0000"\n' * 3)
    assert sniff(path).columns == ("a", "b", "c,d")
    assert [row.fields["b"] for row in read(path)[0]] == ["back\\slash"] * 3


def test_a_very_long_text_is_one_row(tmp_path: Path) -> None:
    text = 'wörd, "and" more\n' * 20_000
    for suffix, write in WRITERS.items():
        path = tmp_path / f"long{suffix}"
        path.write_bytes(write((["text", "label"], [[text, "a"], ["short", "b"]])))
        rows, rejections = read(path)
        assert rejections == []
        assert [row.fields["text"] for row in rows] == [text, "short"], suffix


def test_json_values_keep_their_spelling(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1.50, "b": 1E5, "c": true, "d": null, "e": ["x", 2], "f": "null"}\n')
    fields = read(path)[0][0].fields
    assert fields == {"a": "1.50", "b": "1E5", "c": "true", "d": "", "e": '["x",2]', "f": "null"}


def test_parquet_types_are_spelled(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    columns = {"i": [7], "f": [0.1], "b": [True], "n": pa.array([None], pa.string()), "l": [["x"]]}
    pq.write_table(pa.table(columns), path)
    fields = read(path)[0][0].fields
    assert fields == {"i": "7", "f": "0.1", "b": "true", "n": "", "l": '["x"]'}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": ', "broken-json"),
        ('{"a": NaN}', "broken-json"),
        ('{"a": 1, "a": 2}', "broken-json"),
        ("[" * 100_000, "broken-json"),
        ("[1]", "not-an-object"),
        ("7", "not-an-object"),
        ('{"a": "\\u0000"}', "nul-character"),
        ('{"a": "\\ud800"}', "undecodable"),
    ],
)
def test_a_broken_json_line_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(f'{{"a": "x"}}\n\n{line}\n{{"a": "y"}}\n')
    rows, rejections = read(path)
    assert [row.where for row in rows] == ["t.jsonl:1", "t.jsonl:4"]
    assert [(r.where, r.reason) for r in rejections] == [("t.jsonl:3", reason)]


def test_windows_1252_is_guessed_and_said(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    texts = ["Où est ma carte bancaire ?", "Le débit a été refusé à l’étranger", "Ça ne marche pas"]
    write_csv(path, (["text", "label"], [[text, "a"] for text in texts]), encoding="cp1252")
    facts = sniff(path)
    assert facts.encoding == "cp1252"
    assert [issue.code for issue in facts.issues] == ["encoding-guessed"]
    assert [row.fields["text"] for row in read(path)[0]] == texts


def test_stray_bytes_in_utf8_cost_their_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(
        "text,label\nschön und gut,a\nüb".encode() + b"\xff,b\n" + "größer,c\n".encode()
    )
    assert sniff(path).encoding == "utf-8"
    rows, rejections = read(path)
    assert [row.where for row in rows] == ["t.csv:2", "t.csv:4"]
    assert [(r.where, r.reason) for r in rejections] == [("t.csv:3", "undecodable")]


def _write(content: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(content)

    return make


@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("tikets.csv", None, "file-missing"),
        ("folder.csv", Path.mkdir, "file-is-a-folder"),
        ("t.csv", _write(b""), "file-empty"),
        ("t.csv", _write(b"\n\n"), "file-empty"),
        ("t.json", _write(b"  \n"), "file-empty"),
        ("t.csv", _write(b"text,label\n"), "file-no-rows"),
        ("t.json", _write(b"[]"), "file-no-rows"),
        ("t.json", _write(b"[1, 2]"), "file-no-rows"),
        ("t.csv", _write(b"text,text\na,b\n"), "columns-duplicate"),
        ("t.csv", _write(b'"text,label\na,b\n'), "header-broken"),
        ("t.csv", _write(b"\x89PNG\r\n\x1a\n" + bytes(50)), "file-binary"),
        ("t.csv", _write(bytes(range(256)) * 9), "file-binary"),
        ("t.xlsx", _write(b"PK\x03\x04"), "file-broken"),
        ("t.docx", _write(b"PK\x03\x04"), "file-unknown-type"),
        ("t.parquet.gz", _write(b"x"), "file-unknown-type"),
        ("t.csv.gz", _write(b"text,label\na,b\n"), "file-broken"),
        ("t.csv.gz", _write(gzip.compress(b"text,label\na,b\n" * 9)[:-9]), "file-broken"),
        ("t.csv.gz", _write(gzip.compress(bytes(1 << 20))), "file-binary"),
        ("noending", _write(b"x"), "file-unknown-type"),
        ("t.json", _write(b'{"a": 1}\n{"a": 2}\n'), "json-not-a-list"),
        ("t.json", _write(b'[{"a": "x"}, {"a": '), "json-unclosed"),
        ("t.json", _write(b'[{"a": "x"}] more'), "json-unclosed"),
        ("t.parquet", _write(b"PAR1 not really"), "file-broken"),
    ],
)
def test_what_is_no_table_is_refused_clearly(
    tmp_path: Path, name: str, make: Callable[[Path], None] | None, code: str
) -> None:
    path = tmp_path / name
    if make is None:
        (tmp_path / "tickets.csv").write_text("text,label\na,b\n")
    else:
        make(path)
    with pytest.raises(BurnishError) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert problem.where and problem.what and problem.fix
    assert problem.nearest == ("tickets.csv" if make is None else problem.nearest)


def test_an_index_beyond_its_dictionary_is_a_broken_file(tmp_path: Path) -> None:
    """Found by the soak of 2026-11-22: one changed byte of a Parquet file of four rows."""
    packed = (
        "c-nnYu}%U(5S=~FlSI6LW-qto3K}jHfQtq-hGxz{6j6}`)XH4&1Qitzl-"
        "5{jXRPeB^dC&L^J8rE6Wl#eJ6|y~J2UU?>}(ZlIjYiYLa#`L>J+8`urLMyxjoK#NCX=*NX8dAUzik!ug8b0kJsC2"
        "5{3pzRS(=w&r?O7XLDToj@$PrP=m(PLM=))s#)`pn*8BO-"
        "!N6#9*c?oiIgI&PC}v2m$#euI8|9X52n^@w!IUVDnKJi#T;w8{ytAa#S+bi&MaoxV9^N6gBE3@GF1%SxKoUK#eOD"
        "s_@8T8T09w~IEWDyC>Uj?F&lKLE);Y-"
        "EL4D5W&~@s&F!V(H0BeTk(fh?EgWJEaez(>ONcF8ZUs5VL0p%?GU95G`11lqY3ie>E_s5#B6R{?XQYh9QqbuPen~"
        "?}s&llvQ$AkDUrJC1GtqVZ^9!$^X?D9A*Z0o`iA&G#9iE*gX6LhF0nCz1Y!iU0`1@}$n{`$"
    )
    path = tmp_path / "t.parquet"
    path.write_bytes(zlib.decompress(base64.b85decode(packed)))
    with pytest.raises(BurnishError) as caught:
        list(read_rows(path, facts=sniff(path)))
    assert caught.value.code == "file-broken"
