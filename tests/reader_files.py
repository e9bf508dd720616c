"""Files for the readers' laws: a grammar of each format, what breaks files on their way, and the law itself.

Everything follows from a `random.Random`, so that a fault is found again by its seed. The laws in
tests/laws/test_reader_fuzz.py and the soak in tests/soak/fuzz_readers.py use the same grammar.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.parquet as pq

from burnish.data.read import FOLDER, read_rows, sniff
from burnish.data.rows import FileFacts, Row
from burnish.errors import BurnishError
from burnish.records.dataset import Rejection

DOCUMENTED = set(
    re.findall(
        r"^## (\S+)$",
        (Path(__file__).parents[1] / "docs" / "errors.md").read_text("utf-8"),
        flags=re.MULTILINE,
    )
)
# strings that other readers turn into something else
TRAPS = [
    "NA", "N/A", "null", "None", "nan", "007", "1e5", "TRUE", "false", "0.10", "-0", "1_000", "",
    " padded ", "2024-01-02", "a,b", "a;b|c\td", 'say "hi"', "two\nlines", "r\r\nn", "lone\rr",
    "\u2028", "\x85", "\ufeff", "é ß 日本 👍🏽", "'single'", "back\\slash", '"', '""', "=1+1", "#x",
    "_x000D_", "a^b", "12:30", "~", "\x01", "\x1f", "]", "{", "}, {", "\\", "\\u0000", "</t>", "&amp;",
]  # fmt: skip
Table = tuple[list[str], list[list[str]]]
_WORDS = "card lost where is my money refund late please né 日本 ok".split()


def table(rng: random.Random) -> Table:
    """One to five columns, one to eight rows."""
    names = [f"{rng.choice(_WORDS)}{i}" for i in range(rng.randint(1, 5))]
    if rng.random() < 0.05:
        names[-1] = rng.choice(["", names[0], 'q"q', "a,b", " "])
    return names, [[_cell(rng) for _ in names] for _ in range(rng.randint(1, 8))]


def _cell(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(TRAPS)
    if kind < 0.9:
        return " ".join(rng.choices(_WORDS, k=rng.randint(1, 6)))
    codes = (
        rng.choice([rng.randrange(1, 128), rng.randrange(160, 0xD800), 0x1F600]) for _ in range(5)
    )
    return "".join(map(chr, codes))


# --- writers: a table as the bytes of a file


def csv_bytes(table: Table, *, delimiter: str = ",", quoting: int = csv.QUOTE_ALL) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, quoting=quoting).writerows([table[0], *table[1]])
    return out.getvalue().encode()


def jsonl_bytes(table: Table) -> bytes:
    names, rows = table
    lines = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in rows)
    return "".join(f"{line}\n" for line in lines).encode()


def json_bytes(table: Table) -> bytes:
    names, rows = table
    return json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=1).encode()


def parquet_bytes(table: Table) -> bytes:
    names, rows = table
    columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(len(names))]
    out = io.BytesIO()
    pq.write_table(pa.table(columns, names=names), out)
    return out.getvalue()


def xlsx_text(text: str) -> str:
    """Text as Excel spells it in XML: what XML may not hold as _xHHHH_, and what looks like that escaped."""
    text = re.sub(r"_(?=x[0-9A-Fa-f]{4}_)", "_x005F_", text)
    text = re.sub("[\x00-\x08\x0b-\x1f\ufffe\uffff]", lambda m: f"_x{ord(m[0]):04X}_", text)
    return escape(text)


def xlsx_parts(
    table: Table, *, shared: bool = True, sheets: Sequence[str] = ("Sheet1",)
) -> dict[str, bytes]:
    """The parts of a workbook whose sheets all hold the table."""
    texts: list[str] = []

    def cell(text: str, column: int, row: int) -> str:
        place = f"{chr(65 + column)}{row}"
        if not shared:
            return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{xlsx_text(text)}</t></is></c>'
        texts.append(text)
        return f'<c r="{place}" t="s"><v>{len(texts) - 1}</v></c>'

    lines = [
        f'<row r="{number}">'
        + "".join(cell(text, i, number) for i, text in enumerate(row))
        + "</row>"
        for number, row in enumerate([table[0], *table[1]], start=1)
    ]
    return workbook_parts("".join(lines), texts=texts, sheets=sheets)


def workbook_parts(
    rows: str,
    *,
    texts: Sequence[str] = (),
    sheets: Sequence[str] = ("Sheet1",),
    styles: str = "",
    after: str = "",
) -> dict[str, bytes]:
    """A workbook's parts around the XML of its rows."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    links = "http://schemas.openxmlformats.org/package/2006/relationships"
    listed = "".join(
        f'<sheet name={quoteattr(name)} sheetId="{i}" r:id="rId{i}"/>'
        for i, name in enumerate(sheets, start=1)
    )
    targets = "".join(
        f'<Relationship Id="rId{i}" Type="{office}/worksheet" Target="worksheets/sheet{i}.xml"/>'
        for i in range(1, len(sheets) + 1)
    )
    strings = "".join(f'<si><t xml:space="preserve">{xlsx_text(text)}</t></si>' for text in texts)
    parts = {
        "_rels/.rels": f'<Relationships xmlns="{links}"><Relationship Id="a" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{links}">{targets}'
        f'<Relationship Id="s" Type="{office}/sharedStrings" Target="sharedStrings.xml"/>'
        f'<Relationship Id="t" Type="{office}/styles" Target="/xl/styles.xml"/></Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{main}">{strings}</sst>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}">{styles}</styleSheet>',
    }
    for i in range(1, len(sheets) + 1):
        parts[f"xl/worksheets/sheet{i}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData>{after}</worksheet>'
        )
    return {name: text.encode() for name, text in parts.items()}


def zipped(parts: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(
                zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED
            )
    return out.getvalue()


def xlsx_bytes(table: Table) -> bytes:
    return zipped(xlsx_parts(table))


WRITERS: dict[str, Callable[[Table], bytes]] = {
    ".csv": csv_bytes,
    ".tsv": lambda table: csv_bytes(table, delimiter="\t"),
    ".txt": csv_bytes,
    ".jsonl": jsonl_bytes,
    ".ndjson": jsonl_bytes,
    ".json": json_bytes,
    ".parquet": parquet_bytes,
    ".xlsx": xlsx_bytes,
}

# --- harm: what breaks files on their way

_PIECES = [
    b"\0", b'"', b'\n"', b",", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n\n", b"[", b"}", b"]", b"{", b'{"a":1}\n',
    b"\\", b"\\u0000", b'"\\ud800"', b"NaN", b"1e999", b"\xed\xa0\x80", b"\t", b";", b"|", b"^", b"\xff\xfe",
    b"</row>", b"<c>", b'<row r="2">', b"<f>1</f>", b"<v>", b"&x;", b"<!DOCTYPE a>", b't="e"', b's="1"', b"\xc3",
]  # fmt: skip
_CODECS = [
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "cp1252",
    "utf-8-sig",
    "shift_jis",
    "cp1251",
]


def harm(rng: random.Random, data: bytes) -> bytes:
    """One thing that goes wrong with bytes."""
    at = rng.randint(0, len(data))
    kind = rng.randrange(7)
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + rng.choice(_PIECES) + data[at:]
    if kind == 2 and data:
        return data[: at - 1] + bytes([rng.randrange(256)]) + data[at:]
    if kind == 3:
        upto = min(len(data), at + rng.randint(1, 30))
        return data[:at] + data[upto:]
    if kind == 4:
        upto = min(len(data), at + rng.randint(1, 60))
        return data[:upto] + data[at:upto] * rng.randint(1, 3) + data[upto:]
    if kind == 5:
        return data.decode("utf-8", "replace").encode(rng.choice(_CODECS), "replace")
    return data[:at] + rng.randbytes(rng.randint(1, 8)) + data[at:]


def document(rng: random.Random, suffix: str) -> tuple[bytes, int | None]:
    """A file's bytes, and how many records it holds where nothing was harmed (None: who knows)."""
    whole = rng.random() < 0.3
    drawn = table(rng)
    inner = suffix.removesuffix(".gz")
    if inner == ".xlsx":
        data, records = _workbook(rng, drawn, whole=whole)
    else:
        data, records = _plain(rng, drawn, inner), len(drawn[1])
        for _ in range(0 if whole else rng.randint(1, 4)):
            data = harm(rng, data)
    if suffix.endswith(".gz"):
        data = gzip.compress(data, 1)
        if not whole and rng.random() < 0.3:
            data = harm(rng, data)
    columns = drawn[0]
    odd = len(set(columns)) < len(columns) or "" in columns or len(columns) == 1
    return data, records if whole and not odd and inner not in (".txt", ".xlsx") else None


def _plain(rng: random.Random, drawn: Table, suffix: str) -> bytes:
    if suffix in (".csv", ".txt"):
        delimiter = rng.choice(",,,;\t|^~:\x01\x1f")
        return csv_bytes(drawn, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    return WRITERS[suffix](drawn)


def _workbook(rng: random.Random, drawn: Table, *, whole: bool) -> tuple[bytes, None]:
    sheets = ["Sheet1", "Second"][: rng.randint(1, 2)]
    parts = xlsx_parts(drawn, shared=rng.random() < 0.5, sheets=sheets)
    if not whole:
        for _ in range(rng.randint(1, 3)):
            name = rng.choice([*parts, "xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"])
            parts[name] = harm(rng, parts[name])
        if rng.random() < 0.1:
            parts.pop(rng.choice(list(parts)))
    data = zipped(parts)
    return (harm(rng, data) if not whole and rng.random() < 0.2 else data), None


def folder(rng: random.Random, path: Path) -> int:
    """A folder of labels' folders at `path`; how many files it holds that do not begin with a dot."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    told = 0
    for number in range(rng.randint(1, 6)):
        place = path / rng.choice(["pos", "neg", "né", "pos/deeper", "."])
        place.mkdir(exist_ok=True, parents=True)
        name = f"{number}{rng.choice(['', '.txt', '.txt', '.TXT', '.pdf', '.csv'])}"
        if rng.random() < 0.1:
            name = f".{name}"
        text = _cell(rng).encode(rng.choice(["utf-8", "utf-8", "cp1252", "utf-16"]), "replace")
        (place / name).write_bytes(harm(rng, text) if rng.random() < 0.3 else text)
        told += not name.startswith(".")
    return told


# --- the law


def hold_to_the_law(path: Path, *, records: int | None = None) -> str:
    """Read the file as everybody does and check what every reader promises; what came of it, in a word.

    Raises: AssertionError; any exception that is not our own passes through.
    """
    try:
        facts = sniff(path)
        found = list(read_rows(path, facts=facts))
    except BurnishError as error:
        assert records is None, f"a whole file was refused: {error}"
        for problem in error.problems:
            assert problem.code in DOCUMENTED, f"{problem.code} is in no documentation"
            assert problem.what and problem.where and (problem.fix or problem.expected)
            str(problem).encode()
        return error.code
    places = [record.where for record in found]
    assert len(set(places)) == len(places), "a record was told twice"
    for record in found:
        record.where.encode()
        if isinstance(record, Rejection):
            assert record.reason in DOCUMENTED, f"{record.reason} is in no documentation"
            continue
        assert not any("\0" in text for text in record.fields.values())
        "".join(record.fields.values()).encode()  # nothing in it that could not be stored
    if records is not None:
        assert len(found) == records, f"{len(found)} of {records} records told"
    _ORACLES.get(path.suffix if path.is_file() else FOLDER, _no_oracle)(path, facts, found)
    return "read"


def _text_of(path: Path, facts: FileFacts) -> str:
    return path.read_bytes().decode(facts.encoding or "utf-8", "replace")


def _delimited(path: Path, facts: FileFacts, found: Sequence[Row | Rejection]) -> None:
    """Between one record's line and the next stands that record and nothing else."""
    lines = io.StringIO(_text_of(path, facts), newline="").readlines()
    starts = [int(record.where.rpartition(":")[2]) for record in found]
    assert starts == sorted(starts)
    for record, line, following in zip(found, starts, [*starts[1:], len(lines) + 1], strict=True):
        own = lines[line - 1 : following - 1]
        if isinstance(record, Rejection):
            if record.reason in ("broken-quoting", "row-too-long"):
                # nothing but its first line is lost: reading went on with the next
                assert not any(text.strip("\r\n") for text in own[1:])
            continue
        # a lone \r ends a line: a parser that gets it inside a line breaks off
        parsed = csv.reader(
            own, delimiter=facts.delimiter or ",", escapechar=facts.escape, doublequote=facts.escape is None, strict=True
        )  # fmt: skip
        assert [cells for cells in parsed if cells] == [list(record.fields.values())], record.where
        assert tuple(record.fields) == facts.columns


def _json_lines(path: Path, facts: FileFacts, found: Sequence[Row | Rejection]) -> None:
    lines = _text_of(path, facts).split("\n")
    filled = [number for number, line in enumerate(lines, start=1) if line.strip(" \t\r")]
    assert [int(record.where.rpartition(":")[2]) for record in found] == filled
    for record, number in zip(found, filled, strict=True):
        if isinstance(record, Row):
            assert list(json.loads(lines[number - 1])) == list(record.fields)


def _json_list(path: Path, facts: FileFacts, found: Sequence[Row | Rejection]) -> None:
    try:
        whole = json.loads(_text_of(path, facts))
    except (ValueError, RecursionError):
        return
    assert isinstance(whole, list)
    # elements on one line share their place with none: the law on places would have said so
    assert len(whole) == len(found)


def _parquet(path: Path, facts: FileFacts, found: Sequence[Row | Rejection]) -> None:
    assert pq.read_metadata(path).num_rows == len(found)


def _folder(path: Path, facts: FileFacts, found: Sequence[Row | Rejection]) -> None:
    below = [one.relative_to(path) for one in path.rglob("*") if one.is_file()]
    told = [one for one in below if not any(part.startswith(".") for part in one.parts)]
    assert sorted(f"{path.name}/{one.as_posix()}" for one in told) == sorted(r.where for r in found)


def _no_oracle(path: Path, facts: FileFacts, found: Sequence[Row | Rejection]) -> None:
    """Compressed files and workbooks: their records are counted where they are whole."""


_ORACLES = {
    ".csv": _delimited,
    ".tsv": _delimited,
    ".txt": _delimited,
    ".jsonl": _json_lines,
    ".json": _json_list,
    ".parquet": _parquet,
    FOLDER: _folder,
}
