"""The pair while it learns: one algorithm of RLlib, what each iteration earned, its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from ray.rllib.algorithms.algorithm import Algorithm
from ray.tune import PlacementGroupFactory

from invrec_rllib.errors import EnvironmentFailedError, LostError
from invrec_rllib.evaluation.rollout import Rollout, rollout
from invrec_rllib.learning.export import EXPORT_FOLDER, save_policy
from invrec_rllib.learning.policy import Policy
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.learning.trained import TrainedPolicy
from invrec_rllib.rllib.algorithm import build_config, env_options
from invrec_rllib.rllib.callbacks import ECONOMICS
from invrec_rllib.rllib.health import SamplingHealth
from invrec_rllib.rllib.quiet import build_quietly, placement, resources_needed
from invrec_rllib.rllib.register import register
from invrec_rllib.rllib.seeding import TRAINING_STREAM
from invrec_rllib.rllib.trained import policy_of, what_is_seen
from invrec_rllib.scenario import Scenario
from invrec_rllib.sim import compile_scenario

# Whoever imports this module trains: the environment's name is then known to RLlib and Tune.
register()

# Seed of evaluations while training, which draws its own worlds from hashes of the run's seed and never meets it.
VALIDATION_SEED = 1_000_003
# Streams 0 and 1 are RLlib's training and evaluation: a resumed run must not play its first episodes again.
FIRST_RESUMED_STREAM = 2
LONGEST_WAIT_SECONDS = 60.0


class LearningPair:
    """Trains iteration by iteration; whoever holds it decides for how long, and what is kept.

    Args:
        settings: of the run.
        scenario: the world.
        stream: of chance; a run that goes on from a checkpoint takes another than before.
        versions: of packages, for what is said of an exported policy.
        tell: called with a line on each loss of processes, and each return.

    Raises:
        InputError, ScenarioError: settings or scenario are not valid.
    """

    def __init__(
        self,
        settings: TrainSettings,
        scenario: Scenario,
        *,
        stream: int = TRAINING_STREAM,
        versions: Mapping[str, Any] | None = None,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.settings, self.scenario = settings, scenario
        self.config = build_config(settings, scenario=scenario)
        self.take_stream(stream)
        self.params = compile_scenario(scenario)
        self.iterations = 0
        self._versions, self._tell = dict(versions or {}), tell
        self._seen = what_is_seen({"scenario": scenario, **env_options(settings)})
        self._seconds_before, self._started = 0.0, time.monotonic()
        self._algorithm: Algorithm | None = None

    def take_stream(self, stream: int) -> None:
        """Another stream of chance, for the next `build`."""
        self.config.env_config["seed_stream"] = stream

    @property
    def seconds(self) -> float:
        """Wall time so far, that of earlier attempts included."""
        return self._seconds_before + time.monotonic() - self._started

    def resources_needed(self) -> dict[str, float]:
        """What its runners and learners take from the cluster, by resource name."""
        return resources_needed(self.config)

    def placement(self) -> PlacementGroupFactory:
        """What it takes as a trial of Tune, the process that trains included."""
        return placement(self.config)

    def build(self, checkpoint: Path | None = None, *, iterations: int = 0, seconds: float = 0.0) -> None:
        """Make the algorithm, in a Ray that runs already.

        Args:
            checkpoint: folder to go on from, as `save` filled it; None: from the start.
            iterations: done by then.
            seconds: that they took.
        """
        self._started = time.monotonic()
        torch.set_num_threads(self.settings.threads)
        self._algorithm = build_quietly(self.config)
        if checkpoint is not None:
            self._algorithm.restore_from_path(checkpoint)
        self._health = SamplingHealth(self._algorithm)
        self.iterations, self._seconds_before = iterations, seconds

    def iterate(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """One iteration; tried again, after longer and longer waits, while nothing is sampled.

        Returns:
            The row of `progress.csv`, where None is what was not measured; and RLlib's own result.

        Raises:
            LostError: nothing was sampled, `max_failures` times in a row and once more.
            ray.exceptions.RayError: remote learners, or their nodes, are lost.
        """
        for wait in (0.0, *waits(self.settings.max_failures)):
            if wait:
                self._tell(f"Nothing was sampled in iteration {self.iterations + 1}: next try in {wait:g} s")
                time.sleep(wait)
            result, why = self._train_once()
            if result is not None:
                self.iterations += 1
                return self._row(result), result
        raise LostError(
            f"nothing was sampled in iteration {self.iterations + 1}, {self.settings.max_failures + 1} times in a "
            f"row (max_failures and the first): {why}"
        )

    def _train_once(self) -> tuple[dict[str, Any] | None, str]:
        """RLlib's result; or None where nothing was sampled, and why."""
        try:
            result: dict[str, Any] = self._built().train()
        except EnvironmentFailedError as error:  # in this very process
            return None, str(error)
        for line in self._health.news(result):
            self._tell(line)
        return (result, "") if self._health.sampled(result) else (None, self._health.why)

    def save(self, folder: Path) -> None:
        """Fill a folder with a checkpoint, the policy without pickle in it."""
        algorithm = self._built()
        algorithm.save_to_path(folder)
        save_policy(self._policy(), folder / EXPORT_FOLDER, overwrite=True)

    def stop(self) -> None:
        """Let go of the algorithm and its processes."""
        if self._algorithm is not None:
            self._algorithm.stop()
            self._algorithm = None

    def _built(self) -> Algorithm:
        assert self._algorithm is not None, "build() comes first"
        return self._algorithm

    def _row(self, result: Mapping[str, Any]) -> dict[str, Any]:
        sampled = result.get("env_runners", {})
        economics = sampled.get(ECONOMICS, {})
        every = self.settings.evaluate_every
        due = every and (self.iterations % every == 0 or self.iterations in (1, self.settings.iterations))
        evaluated = self._evaluate() if due else None
        return {
            "iteration": self.iterations,
            "env_steps": int(sampled.get("num_env_steps_sampled_lifetime", 0)),
            "seconds": round(self.seconds, 2),
            "profit_mean": _rounded(economics.get("profit")),
            "profit_eval_mean": _rounded(float(evaluated.profit.mean()) if evaluated else None),
            "fill_rate": _rounded(economics.get("fill_rate"), digits=4),
            "lost_units": _rounded(economics.get("lost")),
            "holding_cost": _rounded(economics.get("holding_cost")),
            "sales_units": _rounded(economics.get("sales")),
        }

    def _evaluate(self) -> Rollout:
        """Profit of the agents' mean actions, on episodes that never change."""
        return rollout(
            self.params,
            TrainedPolicy(policy_of(self._built(), seen=self._seen)),
            seed=VALIDATION_SEED,
            episodes=self.settings.evaluate_episodes,
            information=self.settings.information,
        )

    def _policy(self) -> Policy:
        provenance = {
            "scenario": self.scenario.name,
            "iteration": self.iterations,
            "settings": self.settings.model_dump(mode="json"),
            "versions": self._versions,
        }
        return policy_of(self._built(), seen=self._seen, provenance=provenance)


def waits(times: int) -> Iterator[float]:
    """Seconds to wait before each of so many tries: twice as long every time, a minute at most."""
    return (min(2.0**number, LONGEST_WAIT_SECONDS) for number in range(times))


def _rounded(value: Any, *, digits: int = 2) -> float | None:
    return None if value is None else round(float(value), digits)
