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

    def text(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
