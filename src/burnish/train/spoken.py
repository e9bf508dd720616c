"""Seconds, bytes and estimates as people read them."""

from __future__ import annotations

from burnish.records.recipe import Recipe
from burnish.records.run import Estimate

# Off by more than this on the wall clock alone, the machine is named as the reason.
_BUSY = 0.2


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


def announced(said: Estimate, recipe: Recipe) -> str:
    """The estimate in a sentence."""
    epochs = "epoch" if recipe.epochs == 1 else "epochs"
    most = "" if said.room_bytes is None else f" of {size(said.room_bytes)}"
    return (
        f"about {duration(said.seconds)} for at most {recipe.epochs} {epochs} ({said.updates:,} updates), "
        f"{size(said.memory_bytes)}{most} memory"
    )


def compared(estimate: Estimate) -> str:
    """What it took beside what had been said, in a sentence."""
    took, expected = estimate.took_seconds or 0.0, estimate.expected_seconds or 0.0
    peak = estimate.peak_bytes or 0
    whole = estimate.made_updates == estimate.updates
    words = (
        f"took {duration(took)}, estimated {duration(expected)}{'' if whole else ' for what was run'} "
        f"({difference(expected, took)}); memory {size(peak)}, estimated {size(estimate.memory_bytes)} "
        f"({difference(estimate.memory_bytes, peak)})"
    )
    own_took, own = estimate.took_cpu_seconds or 0.0, estimate.expected_cpu_seconds or 0.0
    if took and own_took and abs(expected / took - 1) > _BUSY >= abs(own / own_took - 1):
        words += f"; processor time {difference(own, own_took)}: the machine had other work"
    return words
