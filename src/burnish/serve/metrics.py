"""What Prometheus reads: one registry per server, every name with its unit (docs/serve.md lists them)."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from burnish.records.deployment import Deployment, Prediction
from burnish.records.signal import LEVELS, Watched

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """The server's counters. Labels have few values, all of ours: no client can add a series."""

    def __init__(self) -> None:
        # the *_created series double the size and say nothing here
        disable_created_metrics()
        registry = CollectorRegistry()
        self._registry = registry
        self._requests = Counter(
            "burnish_requests_total", "Replies sent.", ["route", "status"], registry=registry
        )
        self._seconds = Histogram(
            "burnish_request_seconds",
            "From the request's head to its reply.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._predictions = Counter(
            "burnish_predictions_total", "Rows answered.", ["version"], registry=registry
        )
        self._truncated = Counter(
            "burnish_truncated_total", "Rows answered without their end.", registry=registry
        )
        self._batch_rows = Histogram(
            "burnish_batch_rows", "Rows per model batch.", buckets=_ROWS, registry=registry
        )
        self._batch_seconds = Histogram(
            "burnish_batch_seconds",
            "Model and journal, per batch.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._queue_rows = Gauge("burnish_queue_rows", "Rows waiting.", registry=registry)
        self._ready = Gauge(
            "burnish_ready", "1 when a verified version answers.", registry=registry
        )
        self._live = Gauge(
            "burnish_live_info", "The version that answers.", ["task", "version"], registry=registry
        )
        self._sequence = Gauge(
            "burnish_ledger_sequence", "Last event of the ledger followed.", registry=registry
        )
        self._silent = Counter(
            "burnish_silent_predictions_total",
            "Rows a candidate in shadow answered in silence.",
            ["version"],
            registry=registry,
        )
        self._passed_by = Counter(
            "burnish_silent_passed_by_total",
            "Rows the candidate did not get to because too many waited.",
            registry=registry,
        )
        self._unjournalled = Counter(
            "burnish_unjournalled_total",
            "Rows answered although the disk refused the journal.",
            registry=registry,
        )
        self._feedback = Counter(
            "burnish_feedback_total", "Pieces of feedback recorded.", ["right"], registry=registry
        )
        self._signal_value = Gauge(
            "burnish_signal_value",
            "Value of a signal in the newest watched window.",
            ["version", "signal"],
            registry=registry,
        )
        self._signal_level = Gauge(
            "burnish_signal_level",
            "0 quiet, 1 look, 2 act: of a signal in the newest watched window.",
            ["version", "signal"],
            registry=registry,
        )
        self._refused = Counter(
            "burnish_candidates_refused_total",
            "Bundles that were promoted and failed verification here.",
            ["code"],
            registry=registry,
        )

    def reply(self, route: str, status: int, seconds: float) -> None:
        """A reply was sent."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, predictions: Sequence[Prediction], *, seconds: float) -> None:
        """A model batch was answered and journalled."""
        self._batch_rows.observe(len(predictions))
        self._batch_seconds.observe(seconds)
        self._predictions.labels(predictions[0].version).inc(len(predictions))
        self._truncated.inc(sum(p.dropped_characters > 0 for p in predictions))

    def waiting(self, rows: int) -> None:
        """The queue has this many rows now."""
        self._queue_rows.set(rows)

    def live(self, deployment: Deployment) -> None:
        """This version answers from now on."""
        self._live.clear()
        self._live.labels(deployment.task_name, deployment.version).set(1)
        self._ready.set(1)

    def sequence(self, number: int) -> None:
        """The ledger was followed to here."""
        self._sequence.set(number)

    def refused(self, code: str) -> None:
        """A candidate failed verification."""
        self._refused.labels(code).inc()

    def silent(self, version: str, rows: int) -> None:
        """A candidate answered rows in silence."""
        self._silent.labels(version).inc(rows)

    def passed_by(self) -> None:
        """A row was not offered to the candidate."""
        self._passed_by.inc()

    def unjournalled(self, rows: int) -> None:
        """Rows were answered and could not be journalled."""
        self._unjournalled.inc(rows)

    def feedback(self, right: str) -> None:
        """Feedback was recorded; `right` is "true" or "false"."""
        self._feedback.labels(right).inc()

    def watched(self, window: Watched) -> None:
        """A newer window was judged."""
        self._signal_value.clear()
        self._signal_level.clear()
        for signal in window.signals:
            if signal.value is not None:
                self._signal_value.labels(window.version, signal.name).set(signal.value)
            level = LEVELS.index(signal.level)
            self._signal_level.labels(window.version, signal.name).set(level)

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
