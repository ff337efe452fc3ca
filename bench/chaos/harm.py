"""Harm: what is killed, stopped and told to fail while a run is under way."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field

from bench.chaos.town import Town
from paybatch.store import embedded

_FAULTS_AT_ONCE = 20
_STEPS = 30  # on a fast machine too, something is harmed so often in a run
_PATIENCE = 10  # so many times longer than usual it waits for something to be done


@dataclass
class Harm:
    """Does harm from time to time; what it stopped goes on later."""

    town: Town
    due: float = 0.0
    share: float = 0.0
    stopped: list[tuple[float, "subprocess.Popen[str]"]] = field(default_factory=list)

    def turn(self, share: float) -> None:
        """Do what is due now, when this share of the work is done."""
        now, plan = time.monotonic(), self.town.plan
        for each in [each for each in self.stopped if each[0] < now]:
            self.stopped.remove(each)
            each[1].send_signal(signal.SIGCONT)
        if self._is_due(now, share):
            harms = [each for each in plan.harms if each != "kill caller" or plan.calls]
            if self.due and harms:
                self.do(self.town.chance.choice(harms))
            self.due = now + self.town.chance.uniform(0.3, 1.7) * plan.harm_seconds
            self.share = share

    def _is_due(self, now: float, share: float) -> bool:
        """Tell whether it is time for the next harm; that is no matter of the machine's speed."""
        step, least = share - self.share, 1 / self.town.plan.harms_max
        late = self.due + _PATIENCE * self.town.plan.harm_seconds
        return step >= 1 / _STEPS or now >= late or (now >= self.due and step >= least)

    def do(self, what: str) -> None:
        """Do one harm."""
        self.town.harms[what] += 1
        chance = self.town.chance
        if what == "kill worker":
            chance.choice(self.town.workers).kill()
        elif what == "stop worker":
            self._stop(chance.choice(self.town.workers))
        elif what == "kill caller" and self.town.caller is not None:
            if self.town.caller.poll() is None:
                self.town.caller.kill()
                self.town.caller.wait()
        elif what == "kill sandbox":
            self.town.processor.kill()
            time.sleep(chance.uniform(0, 1))
        elif what == "kill database":
            self._kill_database()
        elif what == "tell faults" and self.town.plan.rates:
            fault = chance.choice(sorted(self.town.plan.rates))
            self.town.processor.tell(next={fault: chance.randint(1, _FAULTS_AT_ONCE)})

    def _stop(self, worker: "subprocess.Popen[str]") -> None:
        """Let a worker stand still past the deadline of what it has under way."""
        plan = self.town.plan
        past = 2 * plan.timeout_seconds + plan.lease_seconds
        worker.send_signal(signal.SIGSTOP)
        self.stopped.append((time.monotonic() + past * self.town.chance.uniform(0.8, 2), worker))

    def _kill_database(self) -> None:
        server = embedded.status(self.town.home).pid
        if server is not None:
            os.kill(server, signal.SIGKILL)
            time.sleep(self.town.chance.uniform(0, 0.5))

    def end(self) -> None:
        """Let everything that stands still go on."""
        for _, each in self.stopped:
            each.send_signal(signal.SIGCONT)
        self.stopped.clear()
