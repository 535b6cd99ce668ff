"""The fast runner samples what RLlib's own runner samples, and says so in the same metrics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from block_worlds import (
    HORIZON,
    Counting,
    CountingModule,
    deterministic,
    make_runner,
    make_two_carts,
    tiny_config,
)
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from ray.rllib.algorithms.appo import APPOConfig
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.callbacks.callbacks import RLlibCallback
from ray.rllib.connectors.env_to_module import MeanStdFilter
from ray.rllib.core.distribution.torch.torch_distribution import (
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiCategorical,
    TorchSquashedGaussian,
)
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModule, MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.utils.spaces.space_utils import clip_action, unsquash_action
from ray.tune import register_env

from invrec_rllib.errors import EnvironmentFailedError, InputError
from invrec_rllib.rllib.batched_policies import draw_actions, env_action
from invrec_rllib.rllib.block_runner import MOST_FAILURES, BlockEpisodeRunner, BlockRunner
from invrec_rllib.rllib.blocks import Block
from invrec_rllib.rllib.callbacks import EconomicsCallback
from invrec_rllib.rllib.fast_sampling import fast_sampling
from invrec_rllib.rllib.register import register_batched_env

B = 3


def peek(metrics: dict[str, Any]) -> dict[str, Any]:
    """Values of a runner's metrics, nested keys joined."""
    flat = {}
    for key, value in metrics.items():
        if isinstance(value, dict):
            flat.update({f"{key}/{name}": each for name, each in peek(value).items()})
        else:
            flat[str(key)] = float(value.peek())
    return flat


def counting_config(*, fragment: int | None = None, stateful: bool = False, **env_config: Any) -> PPOConfig:
    register_env("counting", Counting)
    config = (
        PPOConfig()
        .environment("counting", env_config=env_config, disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=B, batch_mode="complete_episodes")
        .multi_agent(policies=["p"] if stateful else ["a", "b"])
        .debugging(seed=1)
    )
    if stateful:
        config.multi_agent(policy_mapping_fn=lambda agent, episode=None, **kwargs: "p")
        config.rl_module(
            rl_module_spec=RLModuleSpec(module_class=CountingModule, model_config={"max_seq_len": 4})
        )
    else:
        config.multi_agent(policy_mapping_fn=lambda agent, episode=None, **kwargs: agent)
    if fragment is not None:
        config.env_runners(batch_mode="truncate_episodes", rollout_fragment_length=fragment)
    return config


def sample_twice(cls: type[MultiAgentEnvRunner], config: PPOConfig) -> tuple[list[Any], dict[str, Any]]:
    """Samples of a runner with constant weights, and its metrics; it is stopped, so that the next one is its twin."""
    runner = deterministic(make_runner(cls, config))
    samples = [runner.sample(explore=False) for _ in range(2)]
    metrics = runner.get_metrics()
    runner.stop()
    return samples, peek(metrics)


def test_it_plays_the_episodes_that_rllibs_runner_plays() -> None:
    stock, _ = sample_twice(MultiAgentEnvRunner, tiny_config(envs=B))
    fast, _ = sample_twice(BlockRunner, tiny_config(envs=B))
    for episodes, (block,) in zip(stock, fast, strict=True):
        assert len(block) == sum(len(episode) for episode in episodes) == B * HORIZON
        for env, episode in enumerate(episodes):
            for agent, single in episode.agent_episodes.items():
                seen = block.observations[agent][:, env], block.final.observations[agent][env : env + 1]
                # Alike to the rounding of matrix products of one row and of many.
                for got, expected in (
                    (np.concatenate(seen), single.get_observations()),
                    (block.actions[agent][:, env], single.get_actions()),
                    (block.rewards[agent][:, env], single.get_rewards()),
                ):
                    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_its_metrics_and_economics_have_rllibs_names_and_figures() -> None:
    expected, got = (
        sample_twice(cls, tiny_config(envs=B).callbacks(EconomicsCallback))[1]
        for cls in (MultiAgentEnvRunner, BlockRunner)
    )
    # Pieces of RLlib's connector pipelines report themselves; there are none here.
    pieces = {name for name in expected if "env_to_module" in name or "connector" in name}
    times = {name for name in expected if "time" in name or "sec" in name or name == "sample"}
    assert got.keys() >= expected.keys() - pieces - {"env_reset_timer"}
    assert "economics/fill_rate" in expected
    for name in expected.keys() - pieces - times:
        assert got[name] == pytest.approx(expected[name], rel=1e-4), name


def test_truncated_sampling_takes_the_fragment_and_goes_on() -> None:
    runner = make_runner(BlockRunner, tiny_config(envs=B, fragment=13))
    blocks = [runner.sample()[0] for _ in range(3)]
    assert [len(block) for block in blocks] == [13 * B] * 3
    np.testing.assert_array_equal(
        blocks[1].observations["inventory"][0], blocks[0].last.observations["inventory"]
    )
    # 39 steps are one horizon of 30 and 9 steps: all ended in step 3 of the third block, none before.
    assert [len(block.final_index) for block in blocks] == [0, 0, B]
    np.testing.assert_array_equal(blocks[2].final_index, [[3, env] for env in range(B)])
    assert blocks[2].truncated[3].all()
    assert blocks[2].truncated.sum() == B
    metrics = peek(runner.get_metrics())
    assert metrics["num_env_steps_sampled"] == 39 * B
    assert metrics["num_episodes"] == B
    assert metrics["episode_len_mean"] == HORIZON


def test_a_number_of_timesteps_or_episodes_is_honoured() -> None:
    runner = make_runner(BlockRunner, tiny_config(envs=4, fragment=13))
    assert len(runner.sample(num_timesteps=10)[0]) == 12
    (block,) = runner.sample(num_episodes=2)
    assert (block.num_envs, block.num_steps) == (2, HORIZON)
    assert peek(runner.get_metrics())["num_episodes"] == 2
    (block,) = runner.sample(num_episodes=6)
    assert (block.num_envs, block.num_steps) == (4, 2 * HORIZON)
    assert peek(runner.get_metrics())["num_episodes"] == 6
    assert runner.sample(num_timesteps=0) == []
    # A number of episodes leaves no episode running: the next sample begins anew.
    assert runner.sample(num_timesteps=4)[0].observations["inventory"].shape[0] == 1


def test_a_forced_reset_begins_new_episodes() -> None:
    runner = make_runner(BlockRunner, counting_config(fragment=2, lengths=[5]))
    runner.sample()
    (block,) = runner.sample(force_reset=True)
    np.testing.assert_array_equal(block.observations["a"][0], [[0, 1]] * B)


def test_episodes_of_unequal_length_begin_anew_each_for_itself() -> None:
    runner = make_runner(BlockRunner, counting_config(lengths=[2, 3]))
    (block,) = runner.sample(num_episodes=4)
    # All play lengths 2, 3, 2, ...: 3 ended after 2 steps, 3 more after 5.
    assert block.num_steps == 5
    np.testing.assert_array_equal(block.observations["a"][:, 0], [[0, 0], [1, 0], [0, 1], [1, 1], [2, 1]])
    np.testing.assert_array_equal(block.final_index, [[1, 0], [1, 1], [1, 2], [4, 0], [4, 1], [4, 2]])
    assert block.final is not None
    np.testing.assert_array_equal(block.final.observations["a"], [[2, 0]] * 3 + [[3, 1]] * 3)
    metrics = peek(runner.get_metrics())
    assert metrics["num_episodes"] == 4
    # Returns of the agents: 1 + 2 - 2 and 1 + 2 + 3 - 3.
    assert metrics["episode_return_mean"] == pytest.approx((1 + 1 + 1 + 3) / 4)
    assert metrics["episode_len_mean"] == pytest.approx((2 + 2 + 2 + 3) / 4)
    assert (metrics["episode_len_min"], metrics["episode_len_max"]) == (2, 3)
    assert metrics["agent_episode_returns_mean/b"] == pytest.approx((-2 - 2 - 2 - 3) / 4)


@pytest.mark.parametrize("how", ["terminated", "truncated"])
def test_ends_are_told_apart(how: str) -> None:
    (block,) = make_runner(BlockRunner, counting_config(how=how)).sample()
    assert block.terminated[-1].all() == (how == "terminated")
    assert block.truncated[-1].all() == (how == "truncated")
    assert not (block.terminated & block.truncated).any()


def test_memory_is_kept_every_few_steps_and_begins_anew_with_each_episode() -> None:
    runner = make_runner(BlockRunner, counting_config(fragment=10, stateful=True, lengths=[7, 6], box=True))
    first, second = runner.sample()[0], runner.sample()[0]
    for block in (first, second):
        assert block.memory_every == 4
        for agent in ("a", "b"):
            # The count before a step is that of the steps since the episode began, which observations show.
            counts = block.memory[agent]["inner/count"]
            assert counts.shape == (3, B, 1)
            np.testing.assert_array_equal(counts[..., 0], block.observations[agent][::4, :, 0])
            # And so at each step: the module says one more than the steps before.
            np.testing.assert_array_equal(
                block.dist_inputs[agent][..., 0], block.observations[agent][..., 0] + 1
            )
    assert second.memory["a"]["inner/count"][0, 0, 0] == 3
    assert first.final_index[:, 0].tolist() == [6] * B


def test_modules_without_memory_keep_none() -> None:
    block = make_runner(BlockRunner, tiny_config(envs=2, fragment=5)).sample()[0]
    assert block.memory == {}
    assert block.memory_every == 5


def test_the_global_state_is_recorded_only_if_the_configuration_asks_for_it() -> None:
    config = tiny_config(envs=2)
    assert make_runner(BlockRunner, config).sample()[0].states is None
    config.uses_global_state = True
    runner = make_runner(BlockRunner, config)
    block = runner.sample()[0]
    assert block.states.shape == (HORIZON, 2, *runner.batch.state_space.shape)
    assert block.final.state.shape == block.last.state.shape == block.states.shape[1:]
    config.evaluation(evaluation_config={"explore": False})
    evaluated: Any = config.get_evaluation_config_object()
    evaluation = make_runner(BlockRunner, evaluated)
    assert evaluation.sample(num_episodes=1)[0].states is None


def test_equal_seeds_sample_equal_blocks_and_others_do_not() -> None:
    blocks = [make_runner(BlockRunner, tiny_config(envs=2)).sample()[0] for _ in range(2)]
    for agent, actions in blocks[0].actions.items():
        np.testing.assert_array_equal(actions, blocks[1].actions[agent])
    other = make_runner(BlockRunner, tiny_config(envs=2).debugging(seed=4)).sample()[0]
    assert not np.array_equal(other.actions["inventory"], blocks[0].actions["inventory"])


def test_logp_is_that_of_the_actions_under_the_inputs() -> None:
    (block,) = make_runner(BlockRunner, tiny_config(envs=B)).sample()
    for agent, actions in block.actions.items():
        distribution = TorchDiagGaussian.from_logits(torch.from_numpy(block.dist_inputs[agent]))
        expected = distribution.logp(torch.from_numpy(actions))
        np.testing.assert_allclose(block.logp[agent], expected, rtol=1e-4, atol=1e-4)


class Shifted(MultiRLModule):
    """Adds 1 to what its modules say, where RLlib lets a module of modules do so."""

    def _forward_exploration(self, batch: Any, **kwargs: Any) -> Any:
        out = super()._forward_exploration(batch, **kwargs)
        return {
            policy: {name: values + 1.0 for name, values in columns.items() if name == "action_dist_inputs"}
            for policy, columns in out.items()
        }


def test_modules_of_modules_are_asked_where_they_have_something_to_say() -> None:
    said = []
    for cls in (MultiRLModule, Shifted):
        spec = MultiRLModuleSpec(
            multi_rl_module_class=cls,
            rl_module_specs={agent: RLModuleSpec() for agent in ("inventory", "recommender")},
        )
        runner = deterministic(make_runner(BlockRunner, tiny_config(envs=2).rl_module(rl_module_spec=spec)))
        said.append(runner.sample(num_timesteps=2)[0].dist_inputs["inventory"][0])
        runner.stop()
    np.testing.assert_allclose(said[1], said[0] + 1.0, rtol=1e-5)


def test_modules_act_in_evaluation_mode() -> None:
    runner = make_runner(BlockRunner, tiny_config(envs=2))
    runner.module["inventory"].train()
    runner.sample()
    assert not any(part.training for part in runner.module["inventory"].modules())


def test_without_exploration_actions_are_means() -> None:
    (block,) = make_runner(BlockRunner, tiny_config(envs=B)).sample(explore=False)
    inputs = block.dist_inputs["inventory"]
    np.testing.assert_array_equal(block.actions["inventory"], inputs[..., : inputs.shape[-1] // 2])
    assert not block.logp["inventory"].any()


def test_random_actions_lie_in_their_spaces_and_differ() -> None:
    runner = make_runner(BlockRunner, counting_config(lengths=[40]))
    (block,) = runner.sample(random_actions=True)
    assert set(np.unique(block.actions["a"])) == {0, 1, 2}
    assert block.actions["b"].shape == (40, B, 2)
    assert set(np.unique(block.actions["b"][..., 1])) == {0, 1, 2, 3}
    assert block.logp == block.dist_inputs == {}


def drawn_as_by_rllib(distribution: Any, inputs: torch.Tensor) -> tuple[torch.Tensor, Any, torch.Tensor]:
    """Our log-probabilities, RLlib's distribution and its actions, to which ours are equal from one random state."""
    torch.manual_seed(1)
    actions, logp = draw_actions(distribution, inputs, explore=True)
    torch.manual_seed(1)
    reference = distribution.from_logits(inputs)
    expected = reference.sample()
    torch.testing.assert_close(actions, expected)
    return logp, reference, expected


@pytest.mark.parametrize(
    ("distribution", "width"),
    [(TorchDiagGaussian, 6), (TorchCategorical, 4)],
    ids=["gaussian", "categorical"],
)
def test_fast_distributions_draw_as_rllibs_classes(distribution: Any, width: int) -> None:
    inputs = torch.randn(500, width, generator=torch.Generator().manual_seed(0))
    logp, reference, expected = drawn_as_by_rllib(distribution, inputs)
    torch.testing.assert_close(logp, reference.logp(expected), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        draw_actions(distribution, inputs, explore=False)[0], reference.to_deterministic().sample()
    )


MULTI: Any = TorchMultiCategorical
SQUASHED: Any = TorchSquashedGaussian


@pytest.mark.parametrize(
    ("distribution", "width"),
    [
        (MULTI.get_partial_dist_cls(input_lens=[2, 4], space=MultiDiscrete([2, 4])), 6),
        (SQUASHED.get_partial_dist_cls(low=-1.0, high=1.0), 4),
    ],
    ids=["multi-categorical", "squashed"],
)
def test_other_distributions_go_through_their_own_class(distribution: Any, width: int) -> None:
    inputs = torch.randn(20, width, generator=torch.Generator().manual_seed(0))
    logp, reference, expected = drawn_as_by_rllib(distribution, inputs)
    torch.testing.assert_close(logp, reference.logp(expected))


@pytest.mark.parametrize(
    "space",
    [
        Box(-1, 1, (3,), np.float32),
        Box(np.array([-2.0, 0.0, 5.0]), np.array([3.0, 1.0, 6.0]), dtype=np.float64),
        Box(-np.inf, np.inf, (3,), np.float32),
        Box(np.array([0, -np.inf, 0], np.float32), np.ones(3, np.float32), dtype=np.float32),
        Box(2, 9, (3,), np.int64),
    ],
)
@pytest.mark.parametrize(("normalize", "clip"), [(True, False), (False, True), (True, True), (False, False)])
def test_actions_reach_the_environment_as_rllib_converts_them(
    space: Box, normalize: bool, clip: bool
) -> None:
    actions: Any = np.random.default_rng(0).normal(0, 1.5, (50, 3)).astype(np.float32)
    if space.dtype == np.int64:
        actions = np.random.default_rng(0).integers(0, 12, (50, 3))
    convert = env_action(space, normalize=normalize, clip=clip)
    got = actions if convert is None else convert(actions)
    for row, action in zip(got, actions, strict=True):
        expected = action
        if normalize:
            expected = unsquash_action(action, space)
        elif clip:
            expected = clip_action(action, space)
        np.testing.assert_array_equal(row, expected)


def test_discrete_actions_reach_the_environment_as_they_are() -> None:
    assert env_action(Discrete(3), normalize=True, clip=True) is None


def test_an_environment_that_is_not_ours_is_sampled() -> None:
    register_batched_env("two_carts", make_two_carts)
    config = (
        PPOConfig()
        .environment("two_carts", disable_env_checking=True)
        .env_runners(num_env_runners=0, num_envs_per_env_runner=4, rollout_fragment_length=60)
        .multi_agent(policies=["left", "right"], policy_mapping_fn=lambda agent, *args, **kwargs: agent)
        .debugging(seed=0)
    )
    runner = make_runner(BlockRunner, fast_sampling(config))
    (block,) = runner.sample()
    assert block.terminated.any()
    # An environment that ended shows its next episode, which begins near the upright position.
    step, env = block.final_index[0]
    assert step < 59
    assert (np.abs(block.observations["left"][step + 1, env]) <= 0.05).all()
    assert block.final is not None
    poles = [block.final.observations[agent][0, 2] for agent in ("left", "right")]
    assert max(map(abs, poles)) > 0.2
    metrics = peek(runner.get_metrics())
    assert metrics["economics/poles"] == pytest.approx(2 * metrics["episode_len_mean"])


def test_a_failing_environment_is_restarted_only_if_the_configuration_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = counting_config(fragment=4)
    failing = make_runner(BlockRunner, config)
    runner = make_runner(BlockRunner, config.fault_tolerance(restart_failed_sub_environments=True))
    failures = iter([False, True])
    play = Counting.step

    def step(self: Counting, action_dict: Any) -> Any:
        if next(failures, False):
            raise ValueError("out of order")
        return play(self, action_dict)

    monkeypatch.setattr(Counting, "step", step)
    (block,) = runner.sample()
    assert len(block) == 4 * B
    np.testing.assert_array_equal(block.observations["a"][0], [[0, 0]] * B)
    assert peek(runner.get_metrics())["num_env_step_failures"] == 1
    failures = iter([True])
    with pytest.raises(RuntimeError, match="out of order"):
        failing.sample()


def test_an_environment_that_keeps_failing_says_so_and_leaves_its_process_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def step(self: Counting, action_dict: Any) -> Any:
        raise ValueError("out of order")

    config = counting_config(fragment=4).fault_tolerance(
        restart_failed_sub_environments=True, delay_between_env_runner_restarts_s=0.0
    )
    runner = make_runner(BlockRunner, config)
    play = Counting.step
    monkeypatch.setattr(Counting, "step", step)
    message = f"failed {MOST_FAILURES + 1} times in one call: ValueError\\('out of order'\\)"
    with pytest.raises(EnvironmentFailedError, match=message):
        runner.apply(lambda each: each.sample())
    assert runner.last_failure == (MOST_FAILURES + 1, "ValueError('out of order')")
    monkeypatch.setattr(Counting, "step", play)
    (block,) = runner.apply(lambda each: each.sample())
    assert len(block) == 4 * B
    # What else fails ends the process, as RLlib has it.
    with pytest.raises(SystemExit):
        runner.apply(lambda each: each.no_such_method())


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_a_step_that_gives_no_number_is_a_failure_that_names_whose(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = counting_config(fragment=4)
    failing = make_runner(BlockRunner, config)
    runner = make_runner(BlockRunner, config.fault_tolerance(restart_failed_sub_environments=True))
    failures = iter([False, True])
    play = Counting.step

    def step(self: Counting, action_dict: Any) -> Any:
        observations, rewards, *flags = play(self, action_dict)
        if next(failures, False):
            spoilt = {"b": np.nan} if what == "reward" else {"b": np.full(2, np.inf, np.float32)}
            (rewards if what == "reward" else observations).update(spoilt)
        return (observations, rewards, *flags)

    monkeypatch.setattr(Counting, "step", step)
    (block,) = runner.sample()
    assert all(
        np.isfinite(values).all() for values in (*block.rewards.values(), *block.observations.values())
    )
    assert peek(runner.get_metrics())["num_env_step_failures"] == 1
    failures = iter([True])
    with pytest.raises(RuntimeError, match=f"the {what} of 'b' must be finite"):
        failing.sample()


class EachStep(RLlibCallback):
    def on_episode_step(self, **kwargs: Any) -> None:
        pass


def test_what_cannot_be_honoured_is_refused_by_name() -> None:
    def changed(**settings: Any) -> PPOConfig:
        return tiny_config(envs=2).env_runners(**settings)

    def filters(env: Any, spaces: Any, device: Any) -> Any:
        return MeanStdFilter(multi_agent=True)

    refused: list[tuple[Any, str]] = [
        (changed(env_to_module_connector=filters), "env_to_module .* MeanStdFilter"),
        (changed(add_default_connectors_to_module_to_env_pipeline=False), "add_default_connectors_to_module"),
        (tiny_config(envs=2).callbacks(EachStep), "EachStep defines on_episode_step"),
        (tiny_config(envs=2).callbacks(on_episode_step=print), "on_episode_step"),
        (tiny_config(envs=2).offline_data(output="somewhere"), "config.output is 'somewhere'"),
    ]
    for config, message in refused:
        with pytest.raises(InputError, match=message):
            make_runner(BlockRunner, config)


def test_a_new_mapping_of_agents_takes_effect_with_fresh_episodes() -> None:
    runner = make_runner(BlockRunner, tiny_config(envs=2, fragment=4))
    assert runner.sample()[0].policy_of == {"inventory": "inventory", "recommender": "recommender"}
    # As `Algorithm.add_module` does it, with a module that both agents' spaces fit.
    runner.module.add_module("other", runner.module["inventory"])
    runner.config.multi_agent(
        policy_mapping_fn=lambda agent, *args, **kwargs: "other" if agent == "inventory" else agent
    )
    (block,) = runner.sample()
    assert block.policy_of == {"inventory": "other", "recommender": "recommender"}
    assert (block.observations["inventory"][0, :, 0] == 0).all()


def test_a_mapping_that_changes_with_the_episode_is_refused() -> None:
    def by_episode(agent: Any, episode: Any, **kwargs: Any) -> str:
        return str(agent) if int(episode.id_, 16) % 2 else "inventory"

    runner = make_runner(BlockRunner, tiny_config(envs=2).multi_agent(policy_mapping_fn=by_episode))
    with pytest.raises(InputError, match="policy_mapping_fn"):
        runner.sample()


def test_the_helper_sets_runner_and_learner_connector() -> None:
    config = fast_sampling(tiny_config(envs=2).training(gamma=0.5, lambda_=0.25))
    assert config.env_runner_cls is BlockRunner
    assert not config.add_default_connectors_to_learner_pipeline
    assert isinstance(make_runner(BlockRunner, config).sample()[0], Block)
    # Called again it takes the new figures; not called again, they are missed.
    config.training(gamma=0.75)
    with pytest.raises(InputError, match=r"gamma and lambda_ are 0\.75 and 0\.25, .* with 0\.5 and 0\.25"):
        make_runner(BlockRunner, config)
    make_runner(BlockRunner, fast_sampling(config))


def test_the_helper_refuses_what_does_not_read_blocks() -> None:
    with pytest.raises(InputError, match="handover is 'batches'"):
        fast_sampling(tiny_config(envs=2), handover="batches")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="for PPO, got APPOConfig"):
        fast_sampling(APPOConfig())
    with pytest.raises(InputError, match="needs the learner connector for itself"):
        fast_sampling(tiny_config(envs=2).learners(learner_connector=lambda *spaces: []))
    assert fast_sampling(APPOConfig(), handover="episodes").env_runner_cls is BlockEpisodeRunner
