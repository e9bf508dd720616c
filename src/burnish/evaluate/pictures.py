"""The report's pictures: inline SVG, the same bytes for the same report, readable without colour vision.

Drawn by matplotlib with text kept as text, so that it can be searched, read aloud and copied.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np

from burnish.evaluate.confusions import Square
from burnish.evaluate.intervals import wilson
from burnish.records.report import Calibration, Lengths
from burnish.records.run import Step

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart with any colour vision, and in grey print by lightness
BLUE = "#0072B2"
ORANGE = "#D55E00"
INK = "#1f2933"
SOFT = "#5b6875"  # for text
FAINT = "#8a96a3"  # for lines: too faint to read
GRID = "#e4e9ee"
NAME_CHARACTERS = 30


def is_numbered(names: Sequence[str]) -> bool:
    """Whether the columns of a confusion picture have numbers, because names would not fit above them."""
    return len(names) > 4 or max(map(len, names)) > 14


def confusion_picture(table: Square) -> str:
    """True labels by answers: right ones blue, errors orange, darker for a larger share of the row."""
    names = [_clip(name) for name in table.labels]
    number = len(names)
    numbered = is_numbered(names)
    rows = [f"{name}  {i + 1}" if numbered else name for i, name in enumerate(names)]
    columns = [str(i + 1) for i in range(number)] if numbered else names
    left = 0.25 + 0.085 * max(map(len, rows))
    cell = 0.42 if number > 4 else 0.85
    size = (left + number * cell + 0.1, number * cell + 0.55)
    shares_NN = table.counts_NN / np.maximum(table.counts_NN.sum(axis=1, keepdims=True), 1)

    def draw(figure: Figure) -> None:
        from matplotlib.patches import Rectangle

        axes = figure.add_axes(
            (left / size[0], 0.05 / size[1], number * cell / size[0], number * cell / size[1])
        )
        axes.set_xlim(0, number)
        axes.set_ylim(number, 0)
        for true in range(number):
            for said in range(number):
                share, count = float(shares_NN[true, said]), int(table.counts_NN[true, said])
                hue = BLUE if true == said else ORANGE
                # errors are rarer, so their shade grows faster
                shade = share if true == said else min(1.0, share * 2.5)
                face = _mix(hue, 0.12 + 0.88 * shade) if count else "#f6f8fa"
                axes.add_patch(
                    Rectangle((said, true), 1, 1, facecolor=face, edgecolor="white", linewidth=1.5)
                )
                if count:
                    axes.text(
                        said + 0.5, true + 0.5, f"{count:,}", ha="center", va="center",
                        color=_readable_on(face), fontsize=9 if count < 1000 else 7.5,
                    )  # fmt: skip
        axes.set_xticks([i + 0.5 for i in range(number)], columns, parse_math=False)
        axes.set_yticks([i + 0.5 for i in range(number)], rows, parse_math=False)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel("answered", color=SOFT)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)

    wrong = int(table.counts_NN.sum() - np.trace(table.counts_NN))
    alt = f"Confusion table of {number} labels, true labels as rows, answers as columns; "
    return _svg("confusion", size, draw, alt=f"{alt}{wrong} rows lie off the diagonal.")


def reliability_picture(calibration: Calibration) -> str:
    """Accuracy against confidence by bin, with Wilson intervals; on the diagonal, confidence is honest."""

    def draw(figure: Figure) -> None:
        axes, below = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1], "hspace": 0.08}
        )
        axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
        for bar in calibration.bins:
            low, high = wilson(bar.accuracy * bar.n, bar.n)
            axes.plot([bar.confidence] * 2, [low, high], color=BLUE, linewidth=1.4, alpha=0.55)
        axes.plot(
            [bar.confidence for bar in calibration.bins],
            [bar.accuracy for bar in calibration.bins],
            color=BLUE, linewidth=1, marker="o", markersize=5,
        )  # fmt: skip
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_ylabel("fraction right")
        below.vlines(
            [bar.confidence for bar in calibration.bins], 0, [bar.n for bar in calibration.bins],
            color=FAINT, linewidth=3,
        )  # fmt: skip
        below.set_ylim(0, max(bar.n for bar in calibration.bins) * 1.15)
        below.set_ylabel("answers")
        below.set_xlabel("confidence")
        for part in (axes, below):
            _plain(part)

    alt = (
        f"Reliability: fraction right against confidence in {len(calibration.bins)} bins; "
        f"the mean gap is {100 * calibration.ece.value:.1f} points."
    )
    return _svg("reliability", (4.8, 4.4), draw, alt=alt)


def learning_picture(steps: Sequence[Step], *, metric: str) -> str:
    """Training loss by update, and the validation metric after each epoch with the kept one marked."""
    losses = [(step.step, step.loss) for step in steps if np.isfinite(step.loss)]
    judged = [(step.step, step.validation) for step in steps if step.validation is not None]
    kept = [step for step in steps if step.best and step.validation is not None]

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2 if judged else 1, 1, sharex=True, squeeze=False)[:, 0]
        smooth = _smooth(losses)
        panels[0].plot(*zip(*smooth, strict=True), color=BLUE, linewidth=1.4)
        panels[0].set_ylabel("training loss")
        panels[0].set_ylim(bottom=0)
        if judged:
            panels[1].plot(
                *zip(*judged, strict=True), color=ORANGE, linewidth=1.4, marker="o", markersize=4
            )
            panels[1].set_ylabel("validation")
            panels[1].set_title(metric, loc="left", fontsize=9, color=SOFT, parse_math=False)
            if kept:
                best = kept[-1]
                panels[1].plot(
                    [best.step], [best.validation], marker="o", markersize=9,
                    markerfacecolor="none", markeredgecolor=INK, linestyle="none",
                )  # fmt: skip
        panels[-1].set_xlabel("update")
        for panel in panels:
            _plain(panel)

    alt = f"Learning curve: training loss from {losses[0][1]:.3f} to {losses[-1][1]:.3f}"
    if kept:
        alt += f"; best validation {metric} {kept[-1].validation:.3f} at update {kept[-1].step}"
    return _svg("learning", (4.8, 4.2), draw, alt=alt + ".")


def lengths_picture(lengths: Lengths) -> str:
    """How many rows have how many tokens, and where truncation cuts."""
    edges = [edge for edge, _ in lengths.histogram]
    width = edges[1] - edges[0] if len(edges) > 1 else 1

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bar(
            edges, [count for _, count in lengths.histogram], width=width, align="edge",
            color=BLUE, edgecolor="white", linewidth=0.8,
        )  # fmt: skip
        if lengths.longest >= lengths.max_tokens:
            axes.axvline(lengths.max_tokens, color=ORANGE, linewidth=1.5, linestyle=(0, (4, 3)))
            axes.annotate(
                "cut here", (lengths.max_tokens, 0.97), xycoords=("data", "axes fraction"),
                xytext=(-4, 0), textcoords="offset points", ha="right", va="top", color=INK,
            )  # fmt: skip
        axes.set_xlabel("tokens in a row")
        axes.set_ylabel("rows")
        _plain(axes)

    alt = (
        f"Histogram of row lengths: median {lengths.median:.0f} tokens, longest {lengths.longest}; "
        f"{lengths.truncated_rows} rows cut at {lengths.max_tokens}."
    )
    return _svg("lengths", (4.8, 2.7), draw, alt=alt)


def _svg(name: str, size: tuple[float, float], draw: Callable[[Figure], None], *, alt: str) -> str:
    """One picture as an <svg> element: no date, ids of its own, described for people who cannot see it."""
    import matplotlib
    from markupsafe import escape
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as NewFigure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # a glyph that the layout font lacks is drawn by the reader's own font
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()  # a person's own matplotlibrc must not change a report
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": name,
                "font.family": "DejaVu Sans",
                "font.size": 9.5,
                "text.color": INK,
                "axes.labelcolor": INK,
                "axes.edgecolor": FAINT,
                "xtick.color": INK,
                "ytick.color": INK,
            }
        )
        figure = NewFigure(figsize=size, layout=None if name == "confusion" else "constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        out = StringIO()
        nothing: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=nothing, transparent=True)
    drawing = out.getvalue()
    drawing = drawing[drawing.index("<svg") :].strip()
    # several pictures share one page: ids (inside tags only) get the picture's name in front
    drawing = re.sub(r"<[^>]*>", lambda tag: _own_ids(tag.group(), name), drawing)
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    head, body = drawing.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    width = round(size[0] * 96)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'{box.group() if box else ""} class="picture" style="max-width:{width}px" role="img" '
        f'aria-label="{escape(alt)}"><title>{escape(alt)}</title>{body}'
    )


def _own_ids(tag: str, name: str) -> str:
    tag = re.sub(r'\bid="', f'id="{name}-', tag)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", tag)


def _plain(axes: Any) -> None:
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _smooth(losses: Sequence[tuple[int, float]], *, points: int = 200) -> list[tuple[float, float]]:
    """Means of equal stretches, so that a long run stays a small picture."""
    parts = np.array_split(np.array(losses, dtype=np.float64), min(points, len(losses)))
    return [(float(part[:, 0].mean()), float(part[:, 1].mean())) for part in parts]


def _clip(name: str) -> str:
    return name if len(name) <= NAME_CHARACTERS else name[: NAME_CHARACTERS - 1] + "…"


def _readable_on(colour: str) -> str:
    """Black or white, whichever stands out more; one of them always does by 4.5 to 1.

    Source: relative luminance and contrast, WCAG 2.2, section 1.4.3.

    Example:
        >>> _readable_on(BLUE), _readable_on(ORANGE)
        ('white', 'black')
    """
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]
    light = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "white" if 1.05 / (light + 0.05) > (light + 0.05) / 0.05 else "black"


def _ink_on(face: str) -> str:
    """Black or white, whichever stands out more: 4.58 to 1 or better on any colour (WCAG 2.2)."""
    light = 0.0
    for weight, start in ((0.2126, 1), (0.7152, 3), (0.0722, 5)):
        part = int(face[start : start + 2], 16) / 255
        light += weight * (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4)
    # where both contrasts are equal: (light + 0.05) / 0.05 = 1.05 / (light + 0.05)
    return "black" if (light + 0.05) ** 2 > 1.05 * 0.05 else "white"


def _mix(colour: str, share: float) -> str:
    """The colour laid over white at this strength."""
    parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)
