"""Names of text encodings: which a person may ask for."""

from __future__ import annotations

import codecs

from burnish.errors import nearest

# Named first when a name is not known; every other text encoding of Python is taken as well.
USUAL = (
    "utf-8", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1", "iso-8859-15", "cp1250", "cp1251",
    "mac-roman", "cp437", "shift_jis", "gb18030", "big5", "euc-kr", "koi8-r",
)  # fmt: skip
# These are ways to write text as ASCII, or refuse every byte: no file of rows is meant by them.
_NOT_MEANT = {
    "undefined",
    "idna",
    "punycode",
    "unicode-escape",
    "raw-unicode-escape",
    "mbcs",
    "oem",
}


def known_encoding(name: str) -> str | None:
    """The encoding's one name, or None when there is none of that name that makes text of bytes.

    Example:
        >>> known_encoding("Windows-1252"), known_encoding("UTF8"), known_encoding("base64")
        ('cp1252', 'utf-8', None)
    """
    try:
        found = codecs.lookup(name)
        "".encode(found.name)
    except (LookupError, ValueError, UnicodeError):
        return None
    return None if found.name.replace("_", "-") in _NOT_MEANT else found.name


def near_encoding(name: str) -> str | None:
    """The usual encoding whose name looks most like `name`."""
    return nearest(name.lower().replace("_", "-"), USUAL)
