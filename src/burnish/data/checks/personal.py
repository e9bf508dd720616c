"""Personal numbers, addresses and secrets in inputs, labels and every other column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from burnish.data.evidence import Finding, Scene, Seen
from burnish.data.national import SCHEMES, national_ids
from burnish.data.personal import KINDS, find, suspect
from burnish.data.secrets import secrets
from burnish.data.tally import Tally
from burnish.records.task import Redaction

_CALLED: dict[Redaction, tuple[str, str]] = {
    "email": ("personal-email", "e-mail addresses"),
    "phone": ("personal-phone", "phone numbers"),
    "card": ("personal-card", "payment card numbers"),
    "iban": ("personal-iban", "bank accounts (IBAN)"),
    "ip": ("personal-ip", "IP addresses"),
    "national_id": ("personal-national-id", "national identity or tax numbers"),
    "secret": ("personal-secret", "passwords, keys or tokens"),
}
_SHOWN_COLUMNS = 5
_INSIDE = 5  # a cell shorter than this holds nothing of any kind


class Personal:
    """One finding per kind: `personal-email` and the like (warning), `personal-secret` (error)."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._tallies: dict[Redaction, Tally] = {kind: Tally() for kind in KINDS}
        self._finds: Counter[Redaction] = Counter()
        self._columns: dict[Redaction, Counter[str]] = {kind: Counter() for kind in KINDS}
        self._forms: Counter[str] = Counter()

    def see(self, row: Seen) -> None:
        cells = [*row.inputs.values(), *row.columns.values(), *(row.label or ())]
        if not suspect("\n".join(cells)):
            return
        for name, text in (
            *row.inputs.items(),
            *row.columns.items(),
            *(("label", label) for label in row.label or ()),
        ):
            if len(text) > _INSIDE:
                self._look(row.number, name, text)

    def _look(self, number: int, column: str, text: str) -> None:
        for one in find(text):
            inside = text[one.start : one.end]
            kind = one.kind
            self._tallies[kind].add(number, masked(inside, kind))
            self._finds[kind] += 1
            self._columns[kind][column] += 1
            if kind == "national_id":
                near = text[max(0, one.start - 80) : one.end]
                self._forms.update(
                    {last.scheme for last in national_ids(near) if last.end == len(near)}
                )
            elif kind == "secret":
                near = text[max(0, one.start - 80) : one.end]
                self._forms.update({last.form for last in secrets(near) if last.end == len(near)})

    def findings(self) -> Iterator[Finding]:
        for kind, tally in self._tallies.items():
            if not len(tally):
                continue
            code, called = _CALLED[kind]
            columns = [name for name, _ in self._columns[kind].most_common(_SHOWN_COLUMNS)]
            forms = [
                f"{name} {count}"
                for name, count in sorted(self._forms.items())
                if (name in SCHEMES) == (kind == "national_id")
            ]
            told = f" ({', '.join(forms)})" if kind in ("national_id", "secret") and forms else ""
            yield tally.finding(
                self._scene,
                code,
                "error" if kind == "secret" else "warning",
                f"{len(tally)} rows hold {called}{told}, {self._finds[kind]} in all, in "
                f"{', '.join(columns)}; for instance {tally.first}",
                fix=_fix(kind),
                mend="redact",
            )


def _fix(kind: Redaction) -> str:
    said = f'burnish data check --fix {_CALLED[kind][0]} writes "[{kind}]" in their place'
    return f"{said}; a secret that was here is known: make a new one" if kind == "secret" else said


def masked(found: str, kind: Redaction) -> str:
    """Enough of it to find it again, too little to use it.

    Example:
        >>> masked("ana@example.org", "email"), masked("4111 1111 1111 1111", "card"), masked("hunter2", "secret")
        ('an***@…', '4111***', 'hu***')
    """
    if kind == "email":
        name = found.partition("@")[0]
        return f"{name[: min(2, len(name) - 1)]}***@…"
    shown = 4 if kind in ("card", "iban", "phone") and len(found) >= 12 else 2
    if kind == "secret" and found.startswith("-----BEGIN"):
        return "a private key"
    return f"{found[: min(shown, len(found) // 3)]}***"
