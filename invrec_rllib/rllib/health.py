"""What an algorithm has lost of its sampling processes, in words; those that hang are started again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.env.env_runner import NUM_ENV_STEP_FAILURES_LIFETIME
from ray.rllib.utils.metrics import ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME

# A process that is not busy answers at once.
ANSWER_SECONDS = 5.0


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
        self._steps = int(built.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))
        self._failures = 0
        self._late: int = self._group.num_env_runners_dropped_lifetime()
        self._lost: set[int] = set()

    def sampled(self, result: Mapping[str, Any]) -> bool:
        """Whether an iteration sampled anything; asked once of each."""
        steps = int(result.get(ENV_RUNNER_RESULTS, {}).get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0))
        more = steps > self._steps
        self._steps = max(steps, self._steps)
        return more

    def news(self, result: Mapping[str, Any]) -> list[str]:
        """What went wrong in an iteration, and what is well again, a line each; hung processes are ended."""
        return [*self._failed(result), *self._hung(), *self._gone()]

    def _failed(self, result: Mapping[str, Any]) -> list[str]:
        failures = int(result.get(ENV_RUNNER_RESULTS, {}).get(NUM_ENV_STEP_FAILURES_LIFETIME, 0))
        new, self._failures = failures - self._failures, max(failures, self._failures)
        if new <= 0:
            return []
        errors = sorted(
            {error for error in self._ask(lambda runner: getattr(runner, "last_failure", None)) if error}
        )
        times = "once" if new == 1 else f"{new} times"
        return [
            f"An environment failed {times} ({'; '.join(errors) or 'no error is known'}): it was made anew, and "
            "what it gave in that call is lost"
        ]

    def _hung(self) -> list[str]:
        if self._group.num_env_runners_dropped_lifetime() == self._late:
            return []
        healthy = set(self._group.healthy_env_runner_ids())
        hung = sorted(healthy - set(self._ask(lambda runner: runner.worker_index)))
        self._late = self._group.num_env_runners_dropped_lifetime()
        for index in hung:
            self._end(index)
        return [
            f"Sampling process {index} has given nothing for {self._timeout:g} s: it hangs and is started again"
            for index in hung
        ]

    def _gone(self) -> list[str]:
        every = set(range(1, self._group.num_remote_env_runners() + 1))
        lost = every - set(self._group.healthy_env_runner_ids())
        came, went = self._lost - lost, lost - self._lost
        self._lost = lost
        lines = [f"Sampling process {index} is back" for index in sorted(came)]
        if went:
            names = ", ".join(map(str, sorted(went)))
            lines.append(
                f"Lost of {len(every)} sampling processes: {names}; Ray starts them again where it finds room"
            )
        return lines

    def _ask(self, question: Any) -> list[Any]:
        """Answers of all processes that sample and are free to answer."""
        remote = self._group.num_remote_env_runners() > 0
        answers: list[Any] = self._group.foreach_env_runner(
            question, local_env_runner=not remote, timeout_seconds=ANSWER_SECONDS
        )
        return answers

    def _end(self, index: int) -> None:
        # RLlib has no public way to a runner's actor. Marked lost, it gets weights and counts when it is back.
        manager = self._group._worker_manager
        ray.kill(manager.actors()[index], no_restart=False)
        manager.set_actor_state(index, healthy=False)
