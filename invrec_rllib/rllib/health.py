"""What an algorithm has lost of its sampling processes, in words; those that hang are started again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import ray
from ray.exceptions import RayTaskError
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.env.env_runner import NUM_ENV_STEP_FAILURES_LIFETIME
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

# A process that is not busy answers at once.
ANSWER_SECONDS = 5.0
# How often an environment has failed, and its newest error; see `BlockRunner`.
Failure = tuple[int, str]


class SamplingHealth:
    """Watches the sampling of an algorithm from one iteration to the next.

    RLlib 2.60 goes on in silence when a process answers too late, fails or dies: it waits for the others, or returns
    from an iteration in which nothing was sampled and nothing learned.

    Args:
        algorithm: just built, or just restored.
    """

    def __init__(self, algorithm: Algorithm) -> None:
        built: Any = algorithm
        self._group: Any = built.env_runner_group
        self._timeout: float = built.config.sample_timeout_s
        # Both go on from a checkpoint.
        so_far = {
            name: built.metrics.peek((ENV_RUNNER_RESULTS, name), default=0)
            for name in (NUM_ENV_STEPS_SAMPLED_LIFETIME, NUM_ENV_STEP_FAILURES_LIFETIME)
        }
        self._steps = int(so_far[NUM_ENV_STEPS_SAMPLED_LIFETIME])
        self._failures = int(so_far[NUM_ENV_STEP_FAILURES_LIFETIME])
        self._late: int = self._group.num_env_runners_dropped_lifetime()
        self._lost: set[int] = set()
        # The newest failure of each process's environments that was told of, and those which keep failing.
        self._told: dict[int, Failure] = {}
        self._failing: dict[int, Failure] = {}

    @property
    def why(self) -> str:
        """Why nothing is sampled, as far as is known."""
        return (
            _errors(self._failing)
            or "sampling processes are lost or hang, and Ray's logs of the nodes that they ran on say why"
        )

    def sampled(self, result: Mapping[str, Any]) -> bool:
        """Whether an iteration sampled anything; asked once of each."""
        steps = _count(result, NUM_ENV_STEPS_SAMPLED_LIFETIME)
        more = steps > self._steps
        self._steps = max(steps, self._steps)
        return more

    def news(self, result: Mapping[str, Any]) -> list[str]:
        """What went wrong in an iteration, and what is well again, a line each; hung processes are ended."""
        failed, hung = self._failed(result), self._end_hung()
        lines = [
            f"Sampling process {index} has given nothing for {self._timeout:g} s: it hangs and is started again"
            for index in hung
        ]
        return [*failed, *lines, *self._gone(ended=hung)]

    def _failed(self, result: Mapping[str, Any]) -> list[str]:
        failures = _count(result, NUM_ENV_STEP_FAILURES_LIFETIME)
        new, self._failures = failures - self._failures, max(failures, self._failures)
        if new <= 0:
            return []
        fresh = {index: each for index, each in self._failures_of() if each != self._told.get(index)}
        self._told |= fresh
        times = "once" if new == 1 else f"{new} times"
        return [
            f"An environment failed {times} ({_errors(fresh) or 'no error is known'}): it was made anew, and what it "
            "gave in that call is lost"
        ]

    def _end_hung(self) -> list[int]:
        """Indices of the processes that hung, and were ended."""
        if self._group.num_env_runners_dropped_lifetime() == self._late:
            return []
        healthy = set(self._group.healthy_env_runner_ids())
        hung = sorted(healthy - {index for index, _ in self._ask()})
        self._late = self._group.num_env_runners_dropped_lifetime()
        for index in hung:
            self._end(index)
        return hung

    def _gone(self, *, ended: Collection[int]) -> list[str]:
        every = set(range(1, self._group.num_remote_env_runners() + 1))
        lost = every - set(self._group.healthy_env_runner_ids())
        came, went = self._lost - lost, lost - self._lost
        # A process whose environments fail beyond cure is out of service as well, but answers.
        unknown = went.difference(ended)
        failing = dict(self._failures_of(unknown)) if unknown else {}
        self._failing = {index: self._failing[index] for index in self._failing if index in lost} | failing
        self._lost = lost
        lines = [f"Sampling process {index} is back" for index in sorted(came)]
        if failing:
            lines.append(f"Environments keep failing in {_listed(failing, every)}: {self.why}")
        if dead := went - set(failing):
            lines.append(f"Lost {_listed(dead, every)}; Ray starts them again where it finds room")
        return lines

    def _failures_of(self, lost: Collection[int] | None = None) -> list[tuple[int, Failure]]:
        """As `_ask`, where there was a failure."""
        return [(index, failure) for index, failure in self._ask(lost) if failure]

    def _ask(self, lost: Collection[int] | None = None) -> list[tuple[int, Failure | None]]:
        """Index and last failure of all processes that sample, or of these, as far as they are free to answer."""
        answers: list[tuple[int, Failure | None]] = self._group.foreach_env_runner(
            lambda runner: (runner.worker_index, getattr(runner, "last_failure", None)),
            local_env_runner=self._group.num_remote_env_runners() == 0,
            healthy_only=lost is None,
            remote_worker_ids=sorted(lost) if lost else None,
            timeout_seconds=ANSWER_SECONDS,
        )
        return answers

    def _end(self, index: int) -> None:
        # RLlib has no public way to a runner's actor. Marked lost, it gets weights and counts when it is back.
        manager = self._group._worker_manager
        ray.kill(manager.actors()[index], no_restart=False)
        manager.set_actor_state(index, healthy=False)


def in_one_line(error: Exception) -> str:
    """The cause of an error of Ray's, without its pages of traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1 if isinstance(error, RayTaskError) else 0]


def _errors(failures: Mapping[int, Failure]) -> str:
    return "; ".join(sorted({error for _, error in failures.values()}))


def _count(result: Mapping[str, Any], name: str) -> int:
    return int(result.get(ENV_RUNNER_RESULTS, {}).get(name, 0))


def _listed(some: Collection[int], every: Collection[int]) -> str:
    return f"sampling processes {', '.join(map(str, sorted(some)))} (of {len(every)} in all)"
