"""Signals over time as one HTML file: no script, no outside resource, nothing but the records it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from burnish.monitor.page_seal import with_seal
from burnish.records.signal import Share, Signal, Watched
from burnish.records.task import Task

# viewBox of one track; the picture stretches with the page
_WIDTH, _HEIGHT, _LEFT, _TOP = 720, 96, 6, 8
_COLOURS = {"quiet": "#0072b2", "look": "#d08a00", "act": "#d55e00"}


@dataclass(frozen=True, slots=True)
class Track:
    """One signal through the windows, and what it says now."""

    name: str
    now: Signal
    picture: str


def monitor_page(task: Task, watched: Sequence[Watched], *, version: str, waiting: int) -> str:
    """The windows of a version, oldest first, as a self-contained page.

    The same arguments give the same bytes. All text from users is escaped by the template engine.
    """
    newest = watched[-1] if watched else None
    page = (
        _environment()
        .get_template("monitor.html")
        .render(
            task=task,
            version=version,
            windows=watched,
            newest=newest,
            headline=headline(newest) if newest else "",
            tracks=[_track(signal, watched) for signal in newest.signals] if newest else (),
            changes=_changes(newest) if newest else (),
            waiting=waiting,
        )
    )
    return with_seal(page)


def headline(watched: Watched) -> str:
    """One sentence on a window.

    Example:
        >>> from burnish.records.signal import Change
        >>> headline(Watched(version="t-1", first=1, last=9, rows=9, since="a", until="b", signals=(),
        ...                  change=Change(), at="c"))
        'Nothing in this window differs from the reference more than chance would.'
    """
    acts = [signal.name for signal in watched.signals if signal.level == "act"]
    looks = [signal.name for signal in watched.signals if signal.level == "look"]
    if acts:
        return f"Act: {', '.join(acts)} says that the model got worse."
    if looks:
        return f"Look: {', '.join(looks)} {'differs' if len(looks) == 1 else 'differ'} from the reference."
    return "Nothing in this window differs from the reference more than chance would."


def value_of(signal: Signal) -> str:
    """A signal's value as people read it.

    Example:
        >>> value_of(Signal(name="latency", value=12.345, unit="ms", because="", method=""))
        '12.3 ms'
    """
    return _shown(signal.value, signal.unit)


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "fraction":
        return f"{100 * value:.1f}%"
    # three digits say what there is to say; large numbers are counts
    return f"{value:,.0f} {unit}" if abs(value) >= 1000 else f"{value:.3g} {unit}"


def _interval(one: Signal) -> str:
    """Both ends; a unit stands once, behind the second."""
    low = _shown(one.low, one.unit)
    bare = low if one.unit == "fraction" else low.removesuffix(f" {one.unit}")
    return f"{bare} to {_shown(one.high, one.unit)}"


def _track(now: Signal, watched: Sequence[Watched]) -> Track:
    past = [next((s for s in one.signals if s.name == now.name), None) for one in watched]
    return Track(now.name, now, _picture(now.name, past))


def _picture(name: str, past: Sequence[Signal | None]) -> str:
    """A line with its interval as inline SVG; the name is escaped, all else in the markup is numbers of ours."""
    from markupsafe import escape

    known = [(place, one) for place, one in enumerate(past) if one and one.value is not None]
    if not known:
        return ""
    ends = [
        end
        for _, one in known
        for end in (one.value, one.low, one.high, one.reference)
        if end is not None
    ]
    low, high = min(ends), max(ends)
    # values that differ by rounding alone must not fill the picture
    room = max(0.08 * (high - low), 0.001 * max(abs(low), abs(high))) or 0.05
    low, high = low - room, high + room

    def across(place: int) -> float:
        steps = max(1, len(past) - 1)
        return round(_LEFT + (_WIDTH - 2 * _LEFT) * place / steps, 1)

    def down(value: float) -> float:
        return round(_TOP + (_HEIGHT - 2 * _TOP) * (high - value) / (high - low), 1)

    parts = []
    reference = known[-1][1].reference
    if reference is not None:
        level = down(reference)
        parts.append(
            f'<line x1="0" x2="{_WIDTH}" y1="{level}" y2="{level}" stroke="#5b6875" '
            'stroke-dasharray="4 4"/>'
        )
    for place, one in known:
        if one.low is not None and one.high is not None:
            x = across(place)
            parts.append(
                f'<line x1="{x}" x2="{x}" y1="{down(one.low)}" y2="{down(one.high)}" '
                'stroke="#8fc1df" stroke-width="5" stroke-linecap="round"/>'
            )
    line = " ".join(f"{across(place)},{down(one.value or 0.0)}" for place, one in known)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#0072b2" stroke-width="1.5"/>')
    for place, one in known:
        # a stroke without length is a dot, and stays round when the picture is stretched
        parts.append(
            f'<path d="M{across(place)} {down(one.value or 0.0)}h0" stroke="{_COLOURS[one.level]}" '
            f'stroke-width="{6 if one.level == "quiet" else 11}" stroke-linecap="round"/>'
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(name)} by window">{"".join(parts)}</svg>'
    )


def _changes(newest: Watched) -> list[tuple[str, tuple[Share, ...]]]:
    change = newest.change
    named = [
        ("Words that came up more", change.words_more),
        ("Words that came up less", change.words_less),
        ("Topics", change.topics),
        ("Labels answered", change.labels),
        ("Languages", change.languages),
    ]
    return [(title, rows) for title, rows in named if rows]


def _moment(at: str) -> str:
    """A time as people read it, to the second; one that is not in UTC stays as it is.

    Example:
        >>> _moment("2026-11-22T10:00:00.000+00:00")
        '2026-11-22 10:00:00 UTC'
    """
    return f"{at[:19].replace('T', ' ')} UTC" if at.endswith(("+00:00", "Z")) else at


def _raised(watched: Watched) -> str:
    return ", ".join(one.name for one in watched.signals if one.level != "quiet") or "none"


def _environment():  # noqa: ANN202 - jinja2 is imported only here
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("burnish.monitor", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters |= {
        "value": value_of,
        "interval": _interval,
        "reference": lambda one: _shown(one.reference, one.unit),
        "threshold": lambda one: _shown(one.threshold, one.unit),
        "p": lambda value: f"{value:.2g}",
        "share": lambda value: f"{100 * value:.1f}%",
        "plain": lambda value: f"{value:.3g}",
        "count": lambda number: f"{number:,}",
        "moment": _moment,
        "raised": _raised,
        # the pictures are our own markup, made of numbers alone
        "picture": Markup,
    }
    return environment
