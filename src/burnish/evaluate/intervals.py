"""How sure: 95% intervals by a seeded bootstrap over rows (or groups of rows), and Wilson's for proportions.

Every metric here is a function of *sums of per-row terms*, so that a resample is a row of counts and
a thousand resamples are one matrix product.

Shape legend: R rows, G groups (rows when there are none), S terms of a row, B resamples, K values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from burnish.records.encoding import FloatArray, IntArray

LEVEL = 0.95
# 2,000 resamples: the Monte-Carlo error of a 2.5% quantile is then about 0.35 percentage points of
# probability (sqrt(.025 * .975 / 2000)); Efron & Tibshirani (1993) ask for 1,000 or more.
RESAMPLES = 2000
# a block of resample counts stays below 32 MB whatever the number of rows
_BLOCK_CELLS = 4_000_000

Value = Callable[[FloatArray, FloatArray], FloatArray]
"""(sums of terms, shape (..., S); number of rows, shape (...)) -> values, shape (...) or (..., K)."""


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """A point with its interval for each of K values (K = 1 keeps its axis), and what it came from.

    Shapes: values_BK the value on each resample; bias_K and acceleration_K the two corrections of BCa,
    on the normal scale; `groups` how many independent rows (or groups) were drawn from.
    """

    value_K: FloatArray
    low_K: FloatArray
    high_K: FloatArray
    values_BK: FloatArray
    bias_K: FloatArray
    acceleration_K: FloatArray
    groups: int

    @property
    def blind_K(self) -> NDArray[np.bool_]:
        """True where every resample gave the same value, so that the bootstrap says nothing."""
        return np.isclose(np.ptp(self.values_BK, axis=0), 0.0, atol=1e-12)


def bootstrap(
    terms_RS: FloatArray,
    value: Value,
    *,
    seed: int,
    groups_R: IntArray | None = None,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Interval:
    """The value on all rows with its BCa bootstrap interval, the point always inside.

    Resamples whole groups when `groups_R` is given, because rows of one group are not independent.

    Source: Efron (1987), "Better bootstrap confidence intervals", JASA 82(397): bias correction from
    the share of resamples below the point (ties count half), acceleration from the jackknife.

    Example:
        >>> right_R1 = np.array([[1.0]] * 90 + [[0.0]] * 10)
        >>> interval = bootstrap(right_R1, lambda sums, rows: sums[..., 0] / rows, seed=1)
        >>> bool(interval.low_K[0] < 0.9 < interval.high_K[0])
        True
    """
    terms_GS, rows_G = by_group(terms_RS, groups_R)
    total_S, rows = terms_GS.sum(axis=0), rows_G.sum()
    point_K = np.atleast_1d(value(total_S, rows))
    values_BK = np.concatenate(
        [
            _columns(value(sums_BS, rows_B), len(rows_B))
            for sums_BS, rows_B in resample_sums(terms_GS, rows_G, seed=seed, resamples=resamples)
        ]
    )
    acceleration_K = _acceleration(terms_GS, rows_G, value, len(point_K))
    bias_K = np.array(
        [_normal_share(values_BK[:, k], float(point)) for k, point in enumerate(point_K)]
    )
    low_K, high_K = (
        _end(values_BK, bias_K, acceleration_K, tail) for tail in ((1 - level) / 2, (1 + level) / 2)
    )
    return Interval(
        value_K=point_K,
        low_K=np.minimum(low_K, point_K),
        high_K=np.maximum(high_K, point_K),
        values_BK=values_BK,
        bias_K=bias_K,
        acceleration_K=acceleration_K,
        groups=len(terms_GS),
    )


def two_sided_p(interval: Interval, *, null: float = 0.0) -> float:
    """The two-sided p-value of `null` for the first value: the level at which its BCa interval ends there.

    So p < 0.05 and "0 lies outside the 95% interval" say the same, up to ties. It never falls below what
    the number of independent rows allows a sign test to say, 2 * 0.5^rows, nor below 1 / resamples.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, section 15.6 (inverting BCa).
    """
    values_B = interval.values_BK[:, 0]
    floor = min(1.0, 2 * 0.5 ** min(interval.groups, 1000))
    if interval.blind_K[0]:
        return floor if abs(interval.value_K[0] - null) > 1e-12 else 1.0
    bias, acceleration = float(interval.bias_K[0]), float(interval.acceleration_K[0])
    beyond = _normal_share(values_B, null) - bias
    stretch = 1 + acceleration * beyond
    if stretch <= 0:  # outside what the correction can express: fall back to the plain share
        tail = NormalDist().cdf(beyond + bias)
    else:
        tail = NormalDist().cdf(beyond / stretch - bias)
    return min(1.0, max(2 * min(tail, 1 - tail), floor, 1 / len(values_B)))


def by_group(terms_RS: FloatArray, groups_R: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """The terms summed by group, and the rows in each: what one draw of the bootstrap picks."""
    if groups_R is None:
        return terms_RS, np.ones(len(terms_RS))
    groups = int(groups_R.max()) + 1
    terms_GS = np.zeros((groups, terms_RS.shape[1]))
    np.add.at(terms_GS, groups_R, terms_RS)
    return terms_GS, np.bincount(groups_R, minlength=groups).astype(np.float64)


def resample_sums(
    terms_GS: FloatArray, rows_G: FloatArray, *, seed: int, resamples: int
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Sums over rows drawn with replacement, in blocks: (sums_BS, rows_B).

    Equal seed and number of groups draw equal rows, which is what makes two models' resamples paired.
    """
    random = np.random.default_rng(seed)
    groups = len(terms_GS)
    block = max(1, min(resamples, _BLOCK_CELLS // groups))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn_BG = random.integers(0, groups, size=(size, groups))
        drawn_BG += np.arange(size)[:, None] * groups
        counts_BG = np.bincount(drawn_BG.ravel(), minlength=size * groups)
        counts_BG = counts_BG.reshape(size, groups).astype(np.float64)
        yield counts_BG @ terms_GS, counts_BG @ rows_G


def wilson(right: float, n: float, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval for `right` of `n`; (0, 1) when n is 0.

    Source: Wilson (1927); recommended for all n by Brown, Cai & DasGupta (2001), Statistical Science 16(2).

    Example:
        >>> low, high = wilson(10, 10)
        >>> round(low, 3), high
        (0.722, 1.0)
    """
    if n <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # the ends are exact in theory; rounding must not push the point outside its interval
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def _columns(values: FloatArray, resamples: int) -> FloatArray:
    return np.asarray(values, dtype=np.float64).reshape(resamples, -1)


def _acceleration(
    terms_GS: FloatArray, rows_G: FloatArray, value: Value, values: int
) -> FloatArray:
    """How the spread grows with the value, from leaving one group out at a time: shape (K,)."""
    if len(terms_GS) < 2:
        return np.zeros(values)
    total_S, rows = terms_GS.sum(axis=0), rows_G.sum()
    block = max(1, _BLOCK_CELLS // max(1, terms_GS.shape[1]))
    left_out_GK = np.concatenate(
        [
            _columns(value(total_S - terms_bS, rows - rows_b), len(terms_bS))
            for start in range(0, len(terms_GS), block)
            for terms_bS, rows_b in [
                (terms_GS[start : start + block], rows_G[start : start + block])
            ]
        ]
    )
    apart_GK = left_out_GK.mean(axis=0) - left_out_GK
    square_K = (apart_GK**2).sum(axis=0)
    return np.divide(
        (apart_GK**3).sum(axis=0),
        6 * square_K**1.5,
        out=np.zeros(values),
        where=square_K > 1e-24,
    )


def _normal_share(values_B: FloatArray, at: float) -> float:
    """The share of resamples below `at` (ties half) on the normal scale, never infinite."""
    # values that differ by rounding only are ties
    close_B = np.isclose(values_B, at, rtol=1e-12, atol=1e-12)
    below = ((values_B < at) & ~close_B).sum() + 0.5 * close_B.sum()
    edge = 0.5 / len(values_B)
    return NormalDist().inv_cdf(float(np.clip(below / len(values_B), edge, 1 - edge)))


def _end(
    values_BK: FloatArray, bias_K: FloatArray, acceleration_K: FloatArray, tail: float
) -> FloatArray:
    """One end of the BCa interval of every value: shape (K,)."""
    normal = NormalDist()
    ends_K = np.empty(values_BK.shape[1])
    for k, (bias, acceleration) in enumerate(zip(bias_K, acceleration_K, strict=True)):
        z = bias + normal.inv_cdf(tail)
        stretch = 1 - acceleration * z
        share = normal.cdf(bias + z / stretch) if stretch > 0 else float(z > 0)
        ends_K[k] = np.quantile(values_BK[:, k], share)
    return ends_K
