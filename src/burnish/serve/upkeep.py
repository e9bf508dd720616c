"""What a server does beside answering: counts its replies into the ledger, shows the newest watched window among
its metrics, and erases texts whose time is over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from burnish.serve.metrics import Metrics
from burnish.serve.settings import ServeSettings
from burnish.store.journal import forget_texts
from burnish.store.ledger import Ledger
from burnish.store.observed import newest_window, record_replies, windows

_log = logging.getLogger("burnish.serve")
# The route whose replies say how well predictions are served.
_ROUTE = "/v1/predictions"


class Upkeep:
    """Replies are kept in memory for `replies_seconds`, then written as one row; a refusing disk is tried again.

    `now` tells the time (ISO, UTC).
    """

    def __init__(
        self, settings: ServeSettings, ledger: Ledger, *, metrics: Metrics, now: Callable[[], str]
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._window = 0
        self._ledger = ledger
        self._now = now
        self._lock = threading.Lock()
        self._counts: Counter[int] = Counter()
        self._since = now()
        self._stop = threading.Event()
        # An executor because its futures carry any error, of whatever library, back as a value.
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="burnish-upkeep")
        self._thread = threading.Thread(target=self._run, name="burnish-upkeep", daemon=True)

    def count(self, route: str, status: int) -> None:
        """A reply was sent; only those about predictions count."""
        if route == _ROUTE:
            with self._lock:
                self._counts[status] += 1

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Write what was counted, and end."""
        self._stop.set()
        self._thread.join()
        self._attempt(self._write)
        self._worker.shutdown(wait=True)

    def _run(self) -> None:
        forget_at = 0.0
        while not self._stop.wait(self._settings.replies_seconds):
            self._attempt(self._write)
            self._attempt(self._follow_windows)
            if time.monotonic() >= forget_at:
                forget_at = time.monotonic() + self._settings.forget_seconds
                self._attempt(self._forget)

    def _attempt(self, job: Callable[[], None]) -> None:
        error = self._worker.submit(job).exception()
        if error is not None:
            _log.error("upkeep failed and is tried again: %s", error)

    def _write(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, Counter()
            since, self._since = self._since, self._now()
        if not counts:
            return
        try:
            record_replies(self._ledger, since=since, until=self._since, counts=counts)
        except BaseException:
            with self._lock:
                self._counts.update(counts)
                self._since = since
            raise

    def _follow_windows(self) -> None:
        newest = newest_window(self._ledger)
        if newest != self._window:
            self._metrics.watched(windows(self._ledger, newest=1)[0])
            self._window = newest

    def _forget(self) -> None:
        kept = timedelta(days=self._settings.task.keep_days)
        before = datetime.fromisoformat(self._now()) - kept
        gone = forget_texts(self._ledger, before=before.isoformat(timespec="milliseconds"))
        if gone:
            _log.info(
                "%d texts older than %d days were erased", gone, self._settings.task.keep_days
            )
