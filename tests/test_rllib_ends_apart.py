"""Agents that end each for itself: what is sampled, built, estimated and learned of them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from block_worlds import deterministic, make_runner, tiny_config
from leaving_worlds import ENVS, STEPS, leaving
from mtmappo_worlds import GAMMA, LAMBDA, policy_of, sample, train_batch, update, vector
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.env.multi_agent_env_runner import MultiAgentEnvRunner
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.examples.envs.classes.multi_agent import MultiAgentCartPole
from ray.tune import register_env
from test_rllib_block_connector import batches_of_both, rows_in_order
from test_rllib_block_episodes import assert_alike, content
from test_rllib_block_runner import peek

from invrec_rllib.env.batched import Look
from invrec_rllib.rllib.block_connector import TARGET_MASK, BlockToBatch
from invrec_rllib.rllib.block_episodes import EpisodeBuilder
from invrec_rllib.rllib.block_runner import BlockEpisodeRunner, BlockRunner
from invrec_rllib.rllib.blocks import Block
from invrec_rllib.rllib.fast_sampling import fast_sampling
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.rllib.mtmappo_modules import CriticModule

KEPT = ("env_t_to_agent_t", "agent_t_started", "_agent_to_module_mapping")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def ppo_config(**options: Any) -> PPOConfig:
    """RLlib's PPO with modules that have value functions of their own."""
    model = DefaultModelConfig(fcnet_hiddens=[16], vf_share_layers=False)
    config: PPOConfig = leaving(PPOConfig().rl_module(model_config=model), **options)
    return config


def critic_config(kind: str, **options: Any) -> Any:
    return leaving(MTMAPPOConfig(), **options).critic(kind).network("mlp", hidden_sizes=(8,))


def sampled(cls: Any, config: Any, times: int, **how: Any) -> tuple[list[list[Any]], dict[str, Any]]:
    """What some calls of `sample` return, with constant weights, and the metrics."""
    runner = deterministic(make_runner(cls, config))
    samples = [runner.sample(explore=False, **how) for _ in range(times)]
    metrics = peek(runner.get_metrics())
    runner.stop()
    return samples, metrics


def living(episode: Any) -> dict[str, Any]:
    """All that RLlib saves of an episode, without what it keeps of agents that ended before it was cut."""
    state = content(episode)
    there = set(state["agent_episodes"])
    for name in [name for name in state if name in KEPT or "hanging" in name]:
        state[name] = {agent: value for agent, value in dict(state[name]).items() if agent in there}
    return state


def in_order(episodes: list[Any]) -> list[Any]:
    """By the first observation of some agent; all are unlike."""
    return sorted(
        episodes,
        key=lambda each: next(iter(sorted(each.agent_episodes.items())))[1].get_observations(0).tolist(),
    )


@pytest.mark.parametrize("how", ["terminated", "truncated", "mixed"])
@pytest.mark.parametrize("lookback", [1, 3])
def test_episodes_and_metrics_equal_rllibs(how: str, lookback: int) -> None:
    """In chunks of 4 steps: agents end within them, at their end, and before them."""

    def config() -> PPOConfig:
        made = ppo_config(how=how)
        # RLlib's vector of several loses a step of one where another is reset.
        made.env_runners(
            num_envs_per_env_runner=1, rollout_fragment_length=4, episode_lookback_horizon=lookback
        )
        return made

    (expected, their_metrics), (got, metrics) = (
        sampled(cls, config(), 24) for cls in (MultiAgentEnvRunner, BlockEpisodeRunner)
    )
    lengths = set()
    for ours, theirs in zip(got, expected, strict=True):
        assert len(ours) == len(theirs)
        for mine, reference in zip(in_order(ours), in_order(theirs), strict=True):
            assert_alike(living(mine), living(reference))
            assert mine.agent_steps() == reference.agent_steps()
            mine.validate()
            lengths.add((len(mine.agent_episodes), len({len(each) for each in mine.agent_episodes.values()})))
    # Some chunks hold all agents, some one; some hold agents of unlike lengths.
    assert {count for count, _ in lengths} == {1, 2, 3}
    assert max(unlike for _, unlike in lengths) > 1
    named = (
        "num_agent_steps_sampled/",
        "num_module_steps_sampled/",
        "agent_",
        "module_e",
        "episode_",
        "num_e",
    )
    names = [name for name in their_metrics if name.startswith(named) and "duration" not in name]
    assert {"num_agent_steps_sampled/a", "agent_steps/a", "agent_episode_returns_mean/a"} <= set(names)
    for name in names:
        assert metrics[name] == pytest.approx(their_metrics[name], rel=1e-4, abs=1e-5), name


NAMES = (
    Columns.OBS,
    Columns.ACTIONS,
    Columns.ACTION_LOGP,
    Columns.ACTION_DIST_INPUTS,
    Postprocessing.ADVANTAGES,
    Postprocessing.VALUE_TARGETS,
)


@pytest.mark.parametrize("how", ["terminated", "truncated", "any"])
def test_train_batches_equal_those_of_rllibs_own_pipeline(how: str) -> None:
    config = ppo_config(how=how)
    runner = deterministic(make_runner(BlockRunner, fast_sampling(config.copy(copy_frozen=False))))
    runner.sample(num_timesteps=STEPS * ENVS)
    block = runner.sample(num_timesteps=STEPS * ENVS)[0]
    builder = EpisodeBuilder(runner.batch, mapping_fn=policy_of, lookback=1)
    # The builder meets these episodes in their middle, where some agents have ended.
    for env, running in enumerate(builder._running):
        running.agents = tuple(agent for agent in block.agents if block.alive[agent][0, env])
    assert {len(running.agents) for running in builder._running} != {3}
    ours, theirs = batches_of_both(config, runner, builder, block)
    assert set(ours) == set(theirs) == {"team", "solo"}
    for policy, agents in (("team", "ac"), ("solo", "b")):
        mine = rows_in_order(ours[policy], NAMES)
        reference = rows_in_order(theirs[policy], NAMES, np.asarray(theirs[policy][Columns.LOSS_MASK]))
        assert len(mine[Columns.OBS]) == sum(map(block.steps_of, agents)) < len(agents) * len(block)
        # RLlib standardises over the rows that it adds after episodes, too.
        given = reference[Postprocessing.ADVANTAGES]
        reference[Postprocessing.ADVANTAGES] = (given - given.mean()) / given.std()
        for name in NAMES:
            np.testing.assert_allclose(mine[name], reference[name], rtol=1e-4, atol=1e-5, err_msg=name)


def hand_made() -> Block:
    """Three steps of one environment: "a" terminates in the second, "b" is cut in the first, "c" goes on.

    Its states are the values of "a", "b", "c"; 100 where there is none to be asked for.
    """
    alive = {"a": [1, 1, 0], "b": [1, 0, 0], "c": [1, 1, 1]}
    rewards = {"a": [1, 2, 0], "b": [3, 0, 0], "c": [0, 8, 4]}
    sizes = {"a": 3, "b": 2, "c": 3}
    seen = {
        agent: np.arange(3.0 * size, dtype=np.float32).reshape(3, 1, size) for agent, size in sizes.items()
    }
    shapes = {"a": (2,), "b": (), "c": (2,)}
    never = np.zeros((3, 1), bool)
    last = Look(
        {agent: values[-1] for agent, values in seen.items()},
        np.array([[100, 100, 8]], np.float32),
        None,
        {agent: np.array([bool(values[-1])]) for agent, values in alive.items()},
    )
    return Block(
        policy_of={agent: policy_of(agent) for agent in "abc"},
        observations=seen,
        actions={agent: np.zeros((3, 1, *shape), np.float32) for agent, shape in shapes.items()},
        dist_inputs={agent: np.zeros((3, 1, 3 + (agent != "b")), np.float32) for agent in "abc"},
        logp={agent: np.zeros((3, 1), np.float32) for agent in "abc"},
        rewards={agent: np.array(values, np.float32)[:, None] for agent, values in rewards.items()},
        states=np.array([[[4, 8, 2]], [[6, 10, 4]], [[100, 100, 6]]], np.float32),
        decides=None,
        terminated=never,
        truncated=never,
        last=last,
        final_index=np.empty((0, 2), np.int64),
        final=None,
        memory_every=3,
        alive={agent: np.array(values, bool)[:, None] for agent, values in alive.items()},
        terminals={"a": np.array([[0], [1], [0]], bool), "b": never, "c": never},
    )


def test_a_hand_made_block_gives_the_estimates_of_hand_calculation(monkeypatch: pytest.MonkeyPatch) -> None:
    _, learner, _ = sample(critic_config("shared"))
    monkeypatch.setattr(CriticModule, "values", lambda self, seen: seen)
    batch = BlockToBatch(discount=0.5, gae_lambda=0.5)(
        rl_module=learner.module, batch={}, episodes=[hand_made()]
    )
    # "a": 2 - 6 = -4 with nothing beyond its end; before, 1 + 6/2 - 4 = 0, and -4/4.
    # "b": was cut, and its value after that is 10: 3 + 10/2 - 8 = 0.
    # "c": 4 + 8/2 - 6 = 2; 8 + 6/2 - 4 = 7, and 2/4; 0 + 4/2 - 2 = 0, and 7.5/4.
    critic = batch["critic"]
    expected = torch.tensor([[True, True, True], [True, False, True], [False, False, True]])
    assert torch.equal(critic[TARGET_MASK], expected)
    targets = critic[Postprocessing.VALUE_TARGETS][critic[TARGET_MASK]]
    torch.testing.assert_close(targets, torch.tensor([-1.0 + 4, 0 + 8, 1.875 + 2, -4 + 6, 7.5 + 4, 2 + 6]))
    raw = np.array([-1, -4, 1.875, 7.5, 2])
    given = batch["team"][Postprocessing.ADVANTAGES].numpy()
    np.testing.assert_allclose(given, (raw - raw.mean()) / raw.std(), rtol=1e-5)
    assert batch["solo"][Postprocessing.ADVANTAGES].tolist() == [0.0]


def lived(block: Any, agent: str) -> list[list[tuple[int, int]]]:
    """The steps (t, b) of an agent, life after life."""
    lives = []
    for b in range(block.num_envs):
        life: list[tuple[int, int]] = []
        for t in range(block.num_steps):
            if block.alive[agent][t, b]:
                life.append((t, b))
            over = bool(block.terminated[t, b] | block.truncated[t, b])
            if life and (over or t + 1 == block.num_steps or not block.alive[agent][t + 1, b]):
                lives.append(life)
                life = []
    return lives


def estimates_by_hand(
    learner: Any, block: Any, agent: str, kind: str
) -> dict[tuple[int, int], tuple[float, float]]:
    """Advantage and target of every step that an agent lived through."""
    policy = block.policy_of[agent]
    critic = learner.module["critic" if kind == "shared" else f"{policy}_critic"].unwrapped()
    finals = {tuple(index): row for row, index in enumerate(block.final_index.tolist())}

    def value(observations: Any, states: Any, at: Any) -> float:
        seen = observations[agent] if kind == "own" else states
        with torch.no_grad():
            values = critic.values(torch.from_numpy(seen[at]))
        return float(values[0 if kind == "own" else critic.agents.index(agent)])

    found = {}
    for life in lived(block, agent):
        end = life[-1]
        t, b = end
        if block.terminals_of(agent)[end]:
            after = 0.0
        elif end in finals:
            after = value(block.final.observations, block.final.state, finals[end])
        elif t + 1 < block.num_steps:
            after = value(block.observations, block.states, (t + 1, b))
        else:
            after = value(block.last.observations, block.last.state, b)
        carried = 0.0
        for at in reversed(life):
            now = value(block.observations, block.states, at)
            carried = block.rewards[agent][at] + GAMMA * after - now + GAMMA * LAMBDA * carried
            found[at] = carried, carried + now
            after = now
    return found


@pytest.mark.parametrize("kind", ["shared", "separate", "own"])
@pytest.mark.parametrize("how", ["terminated", "truncated", "any"])
def test_every_life_is_estimated_for_itself(kind: str, how: str) -> None:
    _, learner, block = sample(critic_config(kind, how=how))
    batch = train_batch(learner, block)
    found = {agent: estimates_by_hand(learner, block, agent, kind) for agent in "abc"}
    for policy, agents in (("team", "ac"), ("solo", "b")):
        raw = np.array([found[agent][at][0] for agent in agents for at in sorted(found[agent])])
        given = batch[policy][Postprocessing.ADVANTAGES].numpy()
        np.testing.assert_allclose(given, (raw - raw.mean()) / raw.std(), rtol=1e-3, atol=1e-4)
    groups = {"shared": ["abc"], "separate": ["ac", "b"], "own": ["a", "b", "c"]}[kind]
    asked: dict[str, list[Any]] = {}
    for group in groups:
        steps = sorted({at for agent in group for at in found[agent]})
        name = "critic" if kind == "shared" else f"{policy_of(group[0])}_critic"
        asked.setdefault(name, []).extend(
            [[found[agent].get(at, (0.0, np.nan))[1] for agent in group] for at in steps]
        )
    for name, targets in asked.items():
        given = batch[name][Postprocessing.VALUE_TARGETS].numpy()
        mask = batch[name].get(TARGET_MASK)
        given = given if mask is None else np.where(mask.numpy(), given, np.nan)
        np.testing.assert_allclose(given, np.array(targets), rtol=1e-4, atol=1e-4)
        assert (mask is not None) == (np.shape(targets)[-1] > 1)


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_sequences_repeat_every_step_of_the_living(memory: Any) -> None:
    runner, learner, _ = sample(critic_config("shared").memory(memory, size=3, max_seq_len=4))
    torch.manual_seed(0)
    for name in ("team", "solo"):
        for parameter in learner.module[name].parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    state = learner.module.get_state()
    runner.module.set_state({name: state[name] for name in ("team", "solo")})
    block = [runner.sample(num_timesteps=STEPS * ENVS)[0] for _ in range(2)][-1]
    batch = train_batch(learner, block)
    for name, agents in (("team", "ac"), ("solo", "b")):
        columns = batch[name]
        mask = columns[Columns.LOSS_MASK]
        assert int(mask.sum()) == sum(map(block.steps_of, agents)) < len(agents) * len(block)
        assert mask.any(dim=1).all()
        with torch.no_grad():
            repeated = learner.module[name].unwrapped().forward_train(columns)[Columns.ACTION_DIST_INPUTS]
        torch.testing.assert_close(
            repeated[mask], columns[Columns.ACTION_DIST_INPUTS][mask], rtol=1e-5, atol=1e-5
        )


def test_a_critic_learns_nothing_of_the_dead() -> None:
    _, learner, block = sample(critic_config("shared"))
    module, batch = learner.module["critic"].unwrapped(), train_batch(learner, block)["critic"]
    targets, mask = batch[Postprocessing.VALUE_TARGETS], batch[TARGET_MASK]
    assert not mask.all()
    learner.before_gradient_based_update(timesteps={})
    found = []
    for entries, wrong in ((~mask, 0.0), (~mask, 1e6), (mask, 1e6)):
        targets[entries] = wrong
        module.zero_grad()
        loss = learner.compute_loss_for_module(
            module_id="critic", config=learner.config, batch=batch, fwd_out=module.forward_train(batch)
        )
        loss.backward()
        moments = module.output.moments(targets, mask)
        found.append([loss.detach(), moments, *[value.grad.clone() for value in module.parameters()]])
    assert found[0][1][0].tolist() == [block.steps_of(agent) for agent in "abc"]
    same, changed = (
        [torch.equal(*pair) for pair in zip(found[0], other, strict=True)] for other in found[1:]
    )
    assert all(same)
    assert not any(changed)


def test_blocks_with_and_without_ends_apart_are_one_batch() -> None:
    config = critic_config("shared")
    _, learner, apart = sample(config)
    apart_steps = sum(map(apart.steps_of, "abc"))
    together = sample(critic_config("shared", lives=[dict.fromkeys("abc", 5)]))[2]
    assert together.alive is None
    for blocks in ([together, apart], [apart, together]):
        batch = learner._learner_connector(
            rl_module=learner.module, batch={}, episodes=blocks, shared_data={}, metrics=learner.metrics
        )
        mask = batch["critic"][TARGET_MASK]
        assert mask.shape == batch["critic"][Postprocessing.VALUE_TARGETS].shape
        assert int(mask.sum()) == apart_steps + 3 * len(together)


def test_one_learner_updates_all_modules() -> None:
    for kind in ("shared", "separate", "own"):
        _, learner, block = sample(critic_config(kind).memory("gru", size=3, max_seq_len=4))
        before = {name: vector(learner.module[name]) for name in learner.module.keys()}  # noqa: SIM118
        update(learner, block, minibatch_size=20)
        for name, value in before.items():
            after = vector(learner.module[name])
            assert torch.isfinite(after).all()
            assert not torch.equal(after, value), name


def test_an_agent_that_is_gone_for_a_whole_block_leaves_its_modules_alone() -> None:
    config = critic_config("own", lives=[{"a": 20, "b": 2, "c": 9}])
    runner = make_runner(BlockRunner, config)
    learner = config.build_learner(spaces=runner.get_spaces())
    runner.sample(num_timesteps=3 * ENVS)
    (block,) = runner.sample(num_timesteps=4 * ENVS)
    assert (block.steps_of("a"), block.steps_of("b"), block.agent_steps()) == (4 * ENVS, 0, 8 * ENVS)
    assert set(train_batch(learner, block)) == {"team", "team_critic"}
    before = vector(learner.module["solo"])
    update(learner, block, minibatch_size=8)
    assert torch.equal(vector(learner.module["solo"]), before)


def test_a_block_is_cut_with_who_is_alive() -> None:
    _, _, block = sample(critic_config("shared", how="any"))
    part = block.columns(1, 3)
    for agent in block.agents:
        for name in ("ends_of", "terminals_of", "counts_of"):
            np.testing.assert_array_equal(getattr(part, name)(agent), getattr(block, name)(agent)[:, 1:3])
        # Steps end where an agent's lives do.
        ends = {life[-1] for life in lived(block, agent) if life[-1][0] + 1 < block.num_steps}
        marked = np.argwhere(block.ends_of(agent) & block.alive[agent])
        assert ends == {(t, b) for t, b in marked.tolist() if t + 1 < block.num_steps}


def test_worlds_whose_agents_end_together_say_nothing_of_who_is_alive() -> None:
    (block,) = make_runner(BlockRunner, tiny_config(envs=2)).sample()
    assert block.alive is None
    assert block.terminals is None
    assert block.last.alive is None
    assert block.agent_steps() == 2 * len(block)


@pytest.mark.slow
def test_carts_that_fall_one_by_one_learn_to_balance_with_a_shared_critic() -> None:
    register_env("carts", MultiAgentCartPole)
    config = (
        MTMAPPOConfig()
        .environment("carts", env_config={"num_agents": 3}, disable_env_checking=True)
        .env_runners(num_envs_per_env_runner=16, rollout_fragment_length=64, batch_mode="truncate_episodes")
        .multi_agent(policies=["all"], policy_mapping_fn=lambda agent, *args, **kwargs: "all")
        .network("mlp", hidden_sizes=(32, 32))
        .training(train_batch_size_per_learner=1024, minibatch_size=512, lr=3e-3, gamma=0.97, lambda_=0.9)
        .debugging(seed=0)
    )
    torch.manual_seed(0)
    runner = make_runner(BlockRunner, config)
    learner = config.build_learner(spaces=runner.get_spaces())

    def balanced() -> float:
        """Steps that a cart stays up, on average over carts and the first 16 episodes that end."""
        runner.module.set_state({"all": learner.module.get_state()["all"]})
        runner.sample(num_episodes=16)
        steps = peek(runner.get_metrics())
        return float(np.mean([steps[f"agent_steps/{cart}"] for cart in range(3)]))

    untrained = balanced()
    for _ in range(20):
        runner.module.set_state({"all": learner.module.get_state()["all"]})
        (block,) = runner.sample(num_timesteps=1024)
        update(learner, block, minibatch_size=512, num_epochs=6)
    # At random a cart falls after about 20 steps.
    assert untrained < 30
    assert balanced() > 90
