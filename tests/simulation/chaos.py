"""What goes wrong: for each seed other kinds of faults at other rates, or one fault at one chosen step."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tests.simulation.process import Fate, Process


@dataclass(slots=True)
class Faults:
    """Rates of faults. Those of steps are shares of a process's steps; those of the cluster are mean seconds between."""

    cut_off: float = 0.0
    kill: float = 0.0
    pause: float = 0.0
    written_twice: float = 0.0
    rebalance_s: float | None = None
    flush_s: float | None = None
    roll_back_s: float | None = None

    @classmethod
    def drawn(cls, random: Random) -> Faults:
        """Some kinds often, some seldom, some not at all: what one kind hides, another seed shows."""

        def share(*choices: float) -> float:
            return random.choice((0.0, *choices))

        def every(*choices: float) -> float | None:
            return random.choice((None, *choices))

        return cls(
            cut_off=share(0.005, 0.03, 0.1),
            kill=share(0.002, 0.01),
            pause=share(0.001, 0.005),
            written_twice=share(0.02, 0.3),
            rebalance_s=every(15.0, 60.0),
            flush_s=every(40.0, 150.0),
            roll_back_s=every(25.0, 80.0),
        )


@dataclass(slots=True)
class RandomFates:
    """Faults of processes at their rates, until `calm`."""

    faults: Faults
    random: Random
    calm: bool = False
    longest_pause_s: float = 40.0

    def at(self, process: Process, what: str) -> Fate:
        """See Fates."""
        draw = self.random.random()
        if self.calm:
            return Fate.GO_ON
        for rate, fate in (
            (self.faults.cut_off, Fate.CUT_OFF),
            (self.faults.kill * 0.7, Fate.KILL),
            (self.faults.kill * 0.3, Fate.KILL_IN_FLIGHT),
            (self.faults.pause, Fate.PAUSE),
        ):
            if draw < rate:
                return fate
            draw -= rate
        return Fate.GO_ON

    def latency_s(self) -> float:
        """Mostly quick, sometimes not."""
        return (
            self.random.expovariate(1 / 0.002)
            if self.random.random() < 0.95
            else self.random.uniform(0.0, 0.5)
        )

    def pause_s(self) -> float:
        """Long enough that others take over, most of the time."""
        return self.random.uniform(1.0, self.longest_pause_s)


@dataclass(slots=True)
class OneFate:
    """One fault at one step of one process; everything else takes its even course."""

    step: int
    fate: Fate
    process: str = "w1"
    met: list[str] = field(default_factory=list)

    def at(self, process: Process, what: str) -> Fate:
        """See Fates."""
        if process.name == self.process and process.steps == self.step:
            self.met.append(what)
            return self.fate
        return Fate.GO_ON

    def latency_s(self) -> float:
        """Always the same."""
        return 0.002

    def pause_s(self) -> float:
        """Longer than it takes the group to give the slots to others."""
        return 20.0
