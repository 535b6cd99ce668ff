"""An env runner that steps a whole batch of environments per call, and hands over arrays."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, ClassVar, Literal

from ray.rllib.callbacks.utils import make_callback
from ray.rllib.env.env_context import EnvContext
from ray.rllib.env.env_runner import NUM_ENV_STEP_FAILURES_LIFETIME
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.utils.metrics import ENV_STEP_TIMER, RLMODULE_INFERENCE_TIMER

from invrec_rllib.env.batched import Array, BatchedEnv, Look, Moved, check_finite
from invrec_rllib.errors import EnvironmentFailedError, InputError
from invrec_rllib.learning.allocation import keep_freed_memory
from invrec_rllib.rllib.batch_facade import BatchFacade
from invrec_rllib.rllib.batched_policies import Acted, BatchedPolicies
from invrec_rllib.rllib.block_episodes import EpisodeBuilder, Segment, StepExtras
from invrec_rllib.rllib.block_metrics import EpisodeTally, log_steps, smoothing_window
from invrec_rllib.rllib.block_recorder import BlockRecorder
from invrec_rllib.rllib.block_support import (
    EPISODE_HOOKS,
    check_connectors,
    check_settings,
    hooks,
    map_agents,
)
from invrec_rllib.rllib.blocks import STATE_SPACE, Block
from invrec_rllib.rllib.callbacks import EconomicsCallback
from invrec_rllib.rllib.env_creators import make_batch

Handover = Literal["blocks", "episodes"]
_LOG = logging.getLogger("ray.rllib")
# Failures of the environment in one call of `sample` after which making it anew is no cure.
MOST_FAILURES = 3


class BlockRunner(MultiAgentEnvRunner):  # type: ignore[misc, unused-ignore]  # Ray's base is untyped
    """Samples `num_envs_per_env_runner` environments in whole arrays: one forward pass per module and step.

    It overrides how environments are made and sampled, and what is logged of episodes. Modules, weights, states,
    checkpoints, metrics' reduction, and what `sample` does around the sampling (such as `on_sample_end`) are
    RLlib's own. Use `fast_sampling` to set it.

    What is handed over is one `Block` per call of `sample`:

    - `truncate_episodes`: exactly the rollout fragment's steps; episodes go on in the next call.
    - `complete_episodes`, or a number of episodes: from fresh episodes until so many have ended. Environments that
      end in step, as `invrec_v0` does, give whole episodes alone; with others the block also holds the beginnings
      of episodes that the next such call drops, which learners bootstrap from `Block.last`.

    Callbacks at the creation, start and end of episodes are called when a call of `sample` is over, on RLlib's
    episodes built of the block: they hold all their steps, at their start too.

    Metrics have RLlib's names; the items of the environment's steps are logged as the `EconomicsCallback` logs
    them, which is therefore not called.

    A configuration attribute ``uses_global_state = True`` makes the training runners record global states.

    Attributes:
        last_failure: how often the environment has failed so far, and the newest error; None: it never failed.

    Raises:
        InputError: the configuration asks for what whole arrays cannot give; see `block_support`.
    """

    handover: ClassVar[Handover] = "blocks"
    last_failure: tuple[int, str] | None = None
    batch: BatchedEnv | None = None
    _builder: EpisodeBuilder | None = None
    _policies: BatchedPolicies | None = None
    _expected_steps = 1

    def __init__(self, config: Any, **kwargs: Any) -> None:
        check_settings(config)
        # Blocks are of the same tens of megabytes each time.
        keep_freed_memory()
        self._has_episode_hooks = bool(hooks(config, EPISODE_HOOKS))
        super().__init__(config, **kwargs)
        check_connectors(self._env_to_module, self._module_to_env)
        self._callbacks = [each for each in self._callbacks if type(each) is not EconomicsCallback]

    def make_env(self) -> None:
        """Make the batch of environments, in place of RLlib's vector environment."""
        if self.env is not None:
            self.env.close()
        context = self.config.env_config
        if not isinstance(context, EnvContext):
            context = EnvContext(
                context,
                worker_index=self.worker_index,
                num_workers=self.config.num_env_runners,
                recreated_worker=self.last_failure is not None,
            )
        self.batch = make_batch(
            self.config.env,
            context,
            num_envs=self.config.num_envs_per_env_runner,
            with_state=self._records_state,
            seed=self._seed,
        )
        self.env = BatchFacade(self.batch)
        self.num_envs = self.batch.num_envs
        self._needs_initial_reset, self._fresh = True, False
        self._policies = None
        make_callback(
            "on_environment_created",
            callbacks_objects=self._callbacks,
            callbacks_functions=self.config.callbacks_on_environment_created,
            kwargs={
                "env_runner": self,
                "metrics_logger": self.metrics,
                "env": self.env,
                "env_context": context,
            },
        )

    def apply(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function with this runner, as RLlib's, which ends the process where the function raises.

        An environment that keeps failing is left to whoever asked: a new process would not mend it, and nobody would
        hear why the old one ended.

        Raises:
            EnvironmentFailedError: `func` raised it.
        """
        failed: list[EnvironmentFailedError] = []

        def call(runner: BlockRunner, *args: Any, **kwargs: Any) -> Any:
            try:
                return func(runner, *args, **kwargs)
            except EnvironmentFailedError as error:
                failed.append(error)

        answer = super().apply(call, *args, **kwargs)
        if failed:
            raise failed[0]
        return answer

    def get_spaces(self) -> Any:
        """RLlib's spaces by module, and that of the global state where it is recorded."""
        spaces: dict[str, Any] = super().get_spaces()  # type: ignore[no-untyped-call]  # Ray's
        if spaces and self.batch is not None and self._records_state:
            spaces[STATE_SPACE] = (self.batch.state_space, None)
        return spaces

    @property
    def _records_state(self) -> bool:
        return getattr(self.config, "uses_global_state", False) and not self.config.in_evaluation

    def get_metrics(self) -> Any:
        """What was sampled since the last call, reduced, under RLlib's names."""
        if self._policies is not None:
            self._tally.log(self.metrics, window=smoothing_window(self.config))
        return super().get_metrics()

    # RLlib offers no public hook between `sample`, with all that it does around, and the sampling itself.
    def _sample(
        self,
        *,
        num_timesteps: int | None = None,
        num_episodes: int | None = None,
        explore: bool,
        random_actions: bool = False,
        force_reset: bool = False,
    ) -> list[Any]:
        if self._policies is None or self._prepared_for != (self.module, self.config.policy_mapping_fn):
            # New, or RLlib's `add_module` brought other modules or another mapping.
            self._prepare()
        if force_reset or num_episodes is not None or self._needs_initial_reset:
            self._start()
        if num_episodes is not None:
            self._needs_initial_reset = True
        if num_timesteps == 0 or num_episodes == 0:
            return []
        steps = None if num_timesteps is None else self._steps_for(num_timesteps)
        recorder = self._collect(steps, num_episodes, explore=explore, random_actions=random_actions)
        self._expected_steps = recorder.num_steps
        if num_episodes is not None:
            self._tally.keep_first(num_episodes)
        samples = self._hand_over(recorder, num_episodes, acted=not random_actions)
        env_steps = sum(len(sample) for sample in samples)
        log_steps(self.metrics, samples, episodes=self._tally.num_finished, policy_of=self._acting.policy_of)
        self._log_env_steps(metric=self._metrics_num_env_steps_sampled, num_steps=env_steps)
        return samples

    def _hand_over(self, recorder: BlockRecorder, num_episodes: int | None, *, acted: bool) -> list[Any]:
        """The block, or its episodes; callbacks on episodes are called on the latter."""
        block = recorder.block()
        if self._builder is not None:
            states = {
                agent: self._acting.nested(agent, flat) for agent, flat in recorder.memory_after().items()
            }
            extras = StepExtras(states, recorder.items(), self._weights_seq_no if acted else None)
            segments = self._builder.build(block, extras)
            if num_episodes is not None:
                segments = [segment for segment in segments if segment.ended][:num_episodes]
            if self._has_episode_hooks:
                self._call_episode_hooks(segments)
            if self.handover == "episodes":
                return [segment.episode for segment in segments]
        return [block if num_episodes is None else _trim(block, num_episodes)]

    def _call_episode_hooks(self, segments: list[Segment]) -> None:
        """The user's callbacks, on episodes that are complete already."""
        for env, episode, began, ended in segments:
            at: Any = {env: episode}
            if began:
                self._make_on_episode_callback("on_episode_created", env, at)
                self._make_on_episode_callback("on_episode_start", env, at)
            if ended:
                self._make_on_episode_callback("on_episode_end", env, at)
                # RLlib's record of an episode's earlier chunks, which that call passes on.
                self._ongoing_episodes_for_metrics.pop(episode.id_, None)
            else:
                self._ongoing_episodes_for_metrics[episode.id_].append(episode)

    def _prepare(self) -> None:
        batch = self._running_batch
        assert self.module is not None, "RLlib makes the modules with the runner"
        self._prepared_for = (self.module, self.config.policy_mapping_fn)
        self._needs_initial_reset = True
        policy_of = map_agents(self.config.policy_mapping_fn, batch.agents)
        self._policies = BatchedPolicies(
            self.module,
            batch,
            policy_of=policy_of,
            device=self._device,
            normalize_actions=self.config.normalize_actions,
            clip_actions=self.config.clip_actions,
            seed=self._seed,
        )
        self._tally = EpisodeTally(policy_of, batch.num_envs)
        if self.handover == "episodes" or self._has_episode_hooks:
            self._builder = EpisodeBuilder(
                batch,
                mapping_fn=self.config.policy_mapping_fn,
                lookback=self.config.episode_lookback_horizon,
            )

    @property
    def _running_batch(self) -> BatchedEnv:
        assert self.batch is not None, "RLlib samples runners with an environment only"
        return self.batch

    @property
    def _acting(self) -> BatchedPolicies:
        assert self._policies is not None, "made before the first sample"
        return self._policies

    def _start(self) -> None:
        """Fresh episodes everywhere; where all have just begun, no reset skips them."""
        if not self._fresh:
            self._look: Look = self._running_batch.reset()
            self._fresh = True
        self._acting.start()
        self._tally.start()
        if self._builder is not None:
            self._builder.start()
        self._ongoing_episodes_for_metrics.clear()
        self._needs_initial_reset = False

    def _steps_for(self, num_timesteps: int) -> int:
        per_step = self.num_envs
        if self.config.count_steps_by == "agent_steps":
            per_step *= len(self._running_batch.agents)
        return -(-num_timesteps // per_step)

    def _collect(
        self, steps: int | None, episodes: int | None, *, explore: bool, random_actions: bool
    ) -> BlockRecorder:
        """Sample until so many steps or episodes are done; anew where the environment fails and is restarted."""
        recorder, self._failures = self._new_recorder(steps), 0
        self._tally.mark()
        clock = _Clock()
        while recorder.num_steps < steps if steps is not None else self._tally.num_finished < (episodes or 0):
            acted = self._act(recorder, explore=explore, random_actions=random_actions)
            clock.lap(RLMODULE_INFERENCE_TIMER)
            moved = self._step(acted.for_env)
            clock.lap(ENV_STEP_TIMER)
            if moved is None:
                recorder = self._new_recorder(steps)
                self._tally.mark()
            else:
                self._keep(recorder, acted, moved)
            clock.lap(None)
        for name, seconds in clock.laps.items():
            self.metrics.log_value(name, seconds / recorder.num_steps, reduce="mean")
        return recorder

    def _new_recorder(self, steps: int | None) -> BlockRecorder:
        return BlockRecorder(
            self._acting.policy_of,
            memory_every=self._acting.memory_every,
            expected_steps=self._expected_steps if steps is None else steps,
        )

    def _act(self, recorder: BlockRecorder, *, explore: bool, random_actions: bool) -> Acted:
        if recorder.wants_memory:
            recorder.remember(self._acting.memory())
        if random_actions:
            return self._acting.act_randomly()
        # As RLlib counts: all runners' steps, as far as this one knows of them.
        runners = self.config.num_env_runners or 1
        known = self.num_env_steps_sampled_lifetime // runners
        timestep = (known + recorder.num_steps * self.num_envs) * runners
        return self._acting.act(self._look, explore=explore, timestep=timestep)

    def _keep(self, recorder: BlockRecorder, acted: Acted, moved: Moved) -> None:
        if self._builder is not None:
            recorder.remember_after(self._acting.memory())
        recorder.add(self._look, acted, moved, with_items=self._has_episode_hooks)
        self._tally.add(moved, alive=self._look.alive)
        self._fresh = False
        if moved.final is not None:
            ended = moved.terminated | moved.truncated
            self._acting.restart(ended)
            self._fresh = bool(ended.all())
        self._look = moved.look

    def _step(self, actions: dict[str, Array]) -> Moved | None:
        """Step the batch; None where it failed and was made anew, as `restart_failed_sub_environments` asks.

        A reward or observation that is no number is a failure too.

        Raises:
            InputError: the environment refuses what it was given.
            RuntimeError: it failed otherwise, and is not to be restarted.
            EnvironmentFailedError: it failed otherwise, more than `MOST_FAILURES` times in this call.
        """
        try:
            moved = self._running_batch.step(actions)
            check_finite(moved)
            return moved
        except InputError:
            raise
        except Exception as error:
            self.metrics.log_value(NUM_ENV_STEP_FAILURES_LIFETIME, 1, reduce="lifetime_sum")
            before = self.last_failure[0] if self.last_failure else 0
            self.last_failure, self._failures = (before + 1, repr(error)), self._failures + 1
            if not self.config.restart_failed_sub_environments:
                raise RuntimeError(f"a batched environment failed: {error!r}") from error
            _LOG.exception(
                "A batched environment failed; it is made anew, and what it gave in this call is lost."
            )
            self.make_env()
            self._prepare()
            self._start()
            if self._failures > MOST_FAILURES:
                raise EnvironmentFailedError(
                    f"a batched environment failed {self._failures} times in one call: {error!r}"
                ) from error
            return None


class BlockEpisodeRunner(BlockRunner):
    """The same, handing over RLlib's episodes, built in bulk, for algorithms and connectors that need them."""

    handover: ClassVar[Handover] = "episodes"


def _trim(block: Block, num_episodes: int) -> Block:
    """Leave out environments beyond a number of episodes, where all ended in the last step and only there."""
    in_step = (block.terminated | block.truncated)[-1].all() and len(block.final_index) == block.num_envs
    return block.columns(0, num_episodes) if in_step and num_episodes < block.num_envs else block


class _Clock:
    """Seconds by what they were spent on."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str | None) -> None:
        """Book the time since the last lap; None: on nothing."""
        now = time.perf_counter()
        if name is not None:
            self.laps[name] = self.laps.get(name, 0.0) + now - self._last
        self._last = now
