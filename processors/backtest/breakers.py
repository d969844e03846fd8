"""The breakers of one provider partition, decided again. Pure: takes what is on the log in its order, reads nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from events.breaker_transitioned import BreakerState, BreakerTransitioned
from events.outcomes_observed import OutcomesObserved
from events.provider_changed import MAX_WINDOW_S
from processors.backtest.deployment import OVERRIDES, DeploymentRun, Policies
from processors.backtest.policy import TriedPolicy
from processors.backtest.settings_history import SettingsHistory
from projections.live.breaker import initial
from projections.live.window import source_name


class BreakerBacktest:
    """Feed `transition` with all that was recorded up to an offset before `outcomes` of that offset; `passed` after each
    record of outcomes, a bad one too.

    `begins_us`: before it all is as recorded. When the log's first records of outcomes are gone (`first_offset`), windows
    fill for as long as they reach back first.
    """

    def __init__(
        self, history: SettingsHistory, tried: TriedPolicy, *, begins_us: int = 0, first_offset: int = 0
    ) -> None:
        self.deployments: dict[str, DeploymentRun] = {}
        self.duplicates = 0
        self._history = history
        self._tried = tried
        self._begins_us = begins_us
        self._first_offset = first_offset
        self._is_filling = first_offset > 0
        self._waiting: deque[BreakerTransitioned] = deque()
        self._timed: set[str] = set()

    def transition(self, event: BreakerTransitioned) -> None:
        """The next recorded transition of the partition."""
        self._waiting.append(event)

    def outcomes(self, observed: OutcomesObserved, offset: int, clock_us: int) -> None:
        """The outcomes record at an offset."""
        if self._is_filling:
            self._begins_us = max(self._begins_us, clock_us + MAX_WINDOW_S * 1_000_000)
            self._is_filling = False
        here = self._recorded_before(offset)
        deployment = observed.deployment
        run = self._run(deployment, observed)
        source = source_name(observed.source_topic, observed.source_partition)
        unfolded = observed.after(run.recorded.window.sources.get(source, 0))
        if unfolded is None:
            self.duplicates += 1
            for event in here:
                self._happened(event)
            return
        decided_by = here[0].policy_version if here else None
        run.outcomes(
            unfolded,
            here,
            self._policies(observed.provider, deployment, clock_us, decided_by),
            offset=offset,
            clock_us=clock_us,
            counts=clock_us >= self._begins_us,
        )
        self._note_timer(deployment, run)

    def passed(self, next_offset: int, clock_us: int) -> None:
        """The partition has come to an offset: let time pass where the policy that is tried waits for it."""
        if clock_us < self._begins_us or not self._timed:
            return
        for deployment in sorted(self._timed):
            run = self.deployments[deployment]
            policies = next(self._policies(run.decided.breaker.provider, deployment, clock_us, None))
            run.look(policies, next_offset=next_offset, clock_us=clock_us)
            self._note_timer(deployment, run)

    def finish(self, next_offset: int) -> None:
        """The end: what was recorded between the last record and the next."""
        self._recorded_before(next_offset)
        self._waiting.clear()

    def _recorded_before(self, offset: int) -> list[BreakerTransitioned]:
        """Apply what is recorded before the record at an offset; give what was decided while it was folded."""
        here = []
        while self._waiting and self._waiting[0].outcomes_offset <= offset:
            event = self._waiting.popleft()
            is_between = event.causation_id is None or event.cause in OVERRIDES
            if event.outcomes_offset == offset and not is_between:
                here.append(event)
                continue
            self._happened(event)
        return here

    def _happened(self, event: BreakerTransitioned) -> None:
        run = self._run(event.deployment, event)
        policies = next(
            self._policies(event.provider, event.deployment, event.occurred_at, event.policy_version)
        )
        in_range = event.occurred_at >= self._begins_us and event.outcomes_offset >= self._first_offset
        run.happened(event, policies, counts=in_range)
        self._note_timer(event.deployment, run)

    def _policies(
        self, provider: str, deployment: str, clock_us: int, decided_by: int | None
    ) -> Iterator[Policies]:
        for recorded in self._history.policies(provider, deployment, clock_us, decided_by):
            yield Policies(recorded, self._tried.breaker_policy(provider, deployment, recorded))

    def _run(self, deployment: str, event: OutcomesObserved | BreakerTransitioned) -> DeploymentRun:
        run = self.deployments.get(deployment)
        if run is None:
            run = DeploymentRun(initial(event.provider, event.model, event.region))
            self.deployments[deployment] = run
        return run

    def _note_timer(self, deployment: str, run: DeploymentRun) -> None:
        """Which breakers time alone may move without a call; see processors.breaker.desk."""
        breaker = run.decided.breaker
        if breaker.state is BreakerState.HALF_OPEN or breaker.override_until_us is not None:
            self._timed.add(deployment)
        else:
            self._timed.discard(deployment)
