"""Seconds and bytes as people read them."""

from __future__ import annotations


def size(count: float) -> str:
    """Bytes in the unit that suits them.

    Example:
        >>> size(0), size(90_900_000)
        ('0 B', '90.9 MB')
    """
    amount, units = float(count), ["B", "kB", "MB", "GB"]
    while amount >= 1000 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return f"{amount:.0f} B" if units[0] == "B" else f"{amount:.1f} {units[0]}"


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them.

    Example:
        >>> duration(0.4), duration(75), duration(4000)
        ('0.4 s', '1 min 15 s', '1 h 6 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def difference(estimated: float, measured: float) -> str:
    """By how much an estimate was too high (+) or too low (-), as a share of what was measured.

    Example:
        >>> difference(110, 100), difference(80, 100), difference(1, 0)
        ('+10.0%', '-20.0%', 'no measure')
    """
    return f"{estimated / measured - 1:+.1%}" if measured else "no measure"
