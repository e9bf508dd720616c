"""Who answers: follows the ledger's sequence, verifies what was promoted, and swaps when it is proven.

One thread looks at the ledger; loading happens there too, so requests never wait for it. The swap is
one assignment: a request keeps the model it was accepted for, and the next request gets the new one.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from burnish.deploy.bundle import Opened, OpenedText, open_any
from burnish.deploy.deployments import EVENT_KIND, deployments
from burnish.deploy.host import Host, Hosted
from burnish.errors import BurnishError, Problem
from burnish.records.deployment import Deployment
from burnish.records.task import Task
from burnish.serve.metrics import Metrics
from burnish.serve.settings import ServeSettings
from burnish.store.ledger import Ledger, sequence

if TYPE_CHECKING:
    from burnish.models.fitted import Fitted
    from burnish.models.fitted_text import FittedText

Result = TypeVar("Result")
_log = logging.getLogger("burnish.serve")


@dataclass(frozen=True, slots=True, eq=False)
class Answering:
    """A version that was verified here and may answer, with labels or with texts. `folder` is its bundle; `hosted` says
    which weights it stands on, where a host holds them.
    """

    deployment: Deployment
    task: Task
    fitted: Fitted | FittedText
    folder: Path
    hosted: Hosted | None = None

    @property
    def shares_base(self) -> bool:
        """Whether it answers on a base that it shares with others."""
        return self.hosted is not None and self.hosted.shares_base


@dataclass(frozen=True, slots=True)
class Check:
    """What this server found when it verified a version; no problems means that it may answer."""

    deployment: Deployment
    problems: tuple[Problem, ...]


class Live:
    """The holder of the version that answers. `current` is None until one is verified.

    `candidate` is the newest version in shadow that came after the live one: it may answer in silence. `others` are the
    versions that the server was told to hold beside the live one, by name. `host` holds weights for versions that write;
    without one each has its own in this process.
    """

    def __init__(
        self, settings: ServeSettings, ledger: Ledger, *, metrics: Metrics, host: Host | None = None
    ) -> None:
        self.current: Answering | None = None
        self.candidate: Answering | None = None
        self.others: Mapping[str, Answering] = {}
        self.known: tuple[Deployment, ...] = ()
        self.checks: dict[str, Check] = {}
        self._ledger = ledger
        self._bundles: Path = settings.workspace.bundles
        self._task_name = settings.task_name
        self._also = settings.also
        self._host = host
        self._poll_seconds = settings.poll_seconds
        self._retry_seconds = settings.retry_seconds
        self._metrics = metrics
        self._seen = -1
        self._retry_at = 0.0
        self._stop = threading.Event()
        # An executor because its futures carry any error, of whatever library, back as a value.
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="burnish-load")
        self._thread = threading.Thread(target=self._follow, name="burnish-follow", daemon=True)

    @property
    def ready(self) -> bool:
        """Whether the live version may answer, and every version to be held beside it was looked at."""
        return self.current is not None and (self._seen >= 0 or not self._also)

    def start(self) -> None:
        """Begin to follow the ledger."""
        self._thread.start()

    def stop(self) -> None:
        """Stop following; the current version goes on answering what is in flight."""
        self._stop.set()
        if self._host is not None:
            self._host.hurry()
        self._thread.join()
        if self._host is not None:
            self._attempt(self._host.stop)
        self._loader.shutdown(wait=True, cancel_futures=True)

    def _follow(self) -> None:
        told = ""
        while True:
            _, error = self._attempt(self._look)
            # What is verified goes on answering; the same error is told once, not five times a second.
            if error is not None and repr(error) != told:
                _log.error("following the ledger failed: %s", error, exc_info=error)
            told = repr(error) if error is not None else ""
            if self._stop.wait(self._poll_seconds):
                return

    def _attempt(self, job: Callable[[], Result]) -> tuple[Result | None, BaseException | None]:
        future = self._loader.submit(job)
        error = future.exception()
        return (None, error) if error is not None else (future.result(), None)

    def _look(self) -> None:
        """One look at the ledger; work only when its sequence moved, a host broke, or a failed candidate is due."""
        self._let_go_of_broken()
        now = sequence(self._ledger, kind=EVENT_KIND)
        due = self._retry_at and time.monotonic() >= self._retry_at
        if now == self._seen and not due:
            return
        self._retry_at = 0.0
        self.known = tuple(deployments(self._ledger, self._task_name))
        live = next((one for one in self.known if one.stage == "live"), None)
        if live is not None:
            self._make_live(live)
        waiting = [one for one in self.known if one.stage == "shadow"]
        after = live.sequence if live is not None else math.inf
        newest = max(waiting, key=lambda one: one.sequence, default=None)
        silent = self._host is None or self._host.opens_shadows
        for deployment in waiting:
            if deployment is newest and deployment.sequence > after and silent:
                self._make_candidate(deployment)
            elif not self._is_checked(deployment):
                self._open(deployment, hosted=silent)
        if newest is None or newest.sequence <= after:
            self.candidate = None
        self._hold_others()
        self._seen = now
        self._metrics.sequence(now)

    def _make_live(self, deployment: Deployment) -> None:
        current = self.current
        if current is not None and current.deployment.bundle_id == deployment.bundle_id:
            # live again (or still) under the same bytes: nothing to load
            self.current = replace(current, deployment=deployment)
            return
        ready = self.candidate
        if ready is not None and ready.deployment.bundle_id == deployment.bundle_id:
            # verified when it went into shadow, and in memory since
            self.current, self.candidate = replace(ready, deployment=deployment), None
        else:
            opened = self._open(deployment)
            if opened is None:
                self._retry_at = time.monotonic() + self._retry_seconds
                return
            self.current = self._answering(deployment, opened)
        self._metrics.live(deployment)
        _log.info("%s answers now (bundle %s)", deployment.version, deployment.bundle_id)

    def _make_candidate(self, deployment: Deployment) -> None:
        held = self.candidate
        if held is not None and held.deployment.bundle_id == deployment.bundle_id:
            return
        self.candidate = None
        opened = self._open(deployment)
        if opened is not None:
            self.candidate = self._answering(deployment, opened)
            _log.info("%s answers in silence now", deployment.version)

    def _hold_others(self) -> None:
        """Open the versions to be held beside the live one, and let go of bases that nobody uses."""
        held: dict[str, Answering] = {}
        for deployment in self.known:
            if deployment.version not in self._also:
                continue
            before = self.others.get(deployment.version)
            ready = [one for one in (before, self.current, self.candidate) if one is not None]
            same = [one for one in ready if one.deployment.bundle_id == deployment.bundle_id]
            if same:
                held[deployment.version] = replace(same[0], deployment=deployment)
            elif (opened := self._open(deployment)) is not None:
                held[deployment.version] = self._answering(deployment, opened)
                _log.info("%s answers who names it", deployment.version)
            else:
                self._retry_at = time.monotonic() + self._retry_seconds
        self.others = held
        if self._host is not None:
            using = (self.current, self.candidate, *held.values())
            self._host.keep({one.hosted.key for one in using if one is not None and one.hosted})

    def _let_go_of_broken(self) -> None:
        """Versions whose weights do not answer any more answer no more either, until they are opened again: at once."""
        broken = self._host.broken() if self._host is not None else ()
        if not broken:
            return

        def stands(one: Answering | None) -> bool:
            return one is not None and (one.hosted is None or one.hosted.key not in broken)

        _log.error("what holds the weights does not answer any more; it is started again")
        self.current = self.current if stands(self.current) else None
        self.candidate = self.candidate if stands(self.candidate) else None
        self.others = {name: one for name, one in self.others.items() if stands(one)}
        # all is looked at anew, and the server is not ready before it was
        self._seen = -1

    def _answering(self, deployment: Deployment, opened: Opened | OpenedText) -> Answering:
        folder = self._bundles / deployment.bundle_id
        hosted = opened.hosted if isinstance(opened, OpenedText) else None
        if self._host is not None:
            shared = "a base in memory that others share" if hosted and hosted.shares_base else ""
            _log.info("%s stands on %s", deployment.version, shared or "weights of its own")
        return Answering(deployment, opened.task, opened.fitted, folder, hosted)

    def _open(self, deployment: Deployment, *, hosted: bool = True) -> Opened | OpenedText | None:
        """Verify a candidate; None, with the reasons kept, counted and logged, when it may not answer."""
        folder, host = self._bundles / deployment.bundle_id, self._host if hosted else None
        try:
            opened = open_any(folder, bundle_id=deployment.bundle_id, host=host)
            problems: tuple[Problem, ...] = ()
            if opened.task.name != self._task_name:
                opened, problems = None, (_other_task(opened.task.name),)
        except BurnishError as error:
            opened, problems = None, error.problems
        except Exception as error:
            # a library's own error: told here as a problem, and raised on to the log of _follow
            problem = Problem(
                code="bundle-unloadable",
                what=f"its engine raised {type(error).__name__}",
                where=deployment.version,
                fix="look at the traceback in the server's log",
            )
            self._keep(deployment, (problem,))
            self._seen = sequence(self._ledger, kind=EVENT_KIND)
            self._retry_at = time.monotonic() + self._retry_seconds
            raise
        self._keep(deployment, problems)
        return opened

    def _keep(self, deployment: Deployment, problems: tuple[Problem, ...]) -> None:
        self.checks = {**self.checks, deployment.bundle_id: Check(deployment, problems)}
        for problem in problems:
            self._metrics.refused(problem.code)
            _log.error("%s may not answer\n%s", deployment.version, problem.text())

    def _is_checked(self, deployment: Deployment) -> bool:
        return deployment.bundle_id in self.checks


def _other_task(name: str) -> Problem:
    return Problem(
        code="bundle-tampered",
        what=f'it answers the task "{name}"',
        expected="the task it was promoted for",
        fix="burnish rollback",
    )
