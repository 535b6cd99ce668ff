"""Blocks become the train batches that RLlib's own pipeline makes of the same steps; critics judge the right agent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from block_worlds import HORIZON, deterministic, make_runner
from mtmappo_worlds import (
    ENVS,
    GAMMA,
    LAMBDA,
    STEPS,
    chance,
    firm_config,
    policy_of,
    sample,
    train_batch,
    update,
)
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.evaluation.postprocessing import Postprocessing

from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.rllib.block_connector import BlockToBatch
from invrec_rllib.rllib.block_episodes import EpisodeBuilder, StepExtras
from invrec_rllib.rllib.block_runner import BlockRunner
from invrec_rllib.rllib.fast_sampling import fast_sampling
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.scenario import load_scenario
from invrec_rllib.scenario.files import build_scenario

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def ppo_config(*, shared_layers: bool = False, **env_config: Any) -> PPOConfig:
    """RLlib's PPO with modules that have value functions of their own."""
    model = DefaultModelConfig(fcnet_hiddens=[16], vf_share_layers=shared_layers)
    config: PPOConfig = chance(PPOConfig().rl_module(model_config=model), **env_config)
    return config


def rows_in_order(columns: Mapping[str, Any], names: tuple[str, ...], keep: Any = None) -> dict[str, Any]:
    """Valid rows of a batch in the order of their observations, which are all unlike."""
    arrays = {name: np.asarray(columns[name].detach().cpu()) for name in names}
    if keep is not None:
        arrays = {name: array[keep] for name, array in arrays.items()}
    order = np.lexsort(arrays[Columns.OBS].T)
    return {name: array[order] for name, array in arrays.items()}


def batches_of_both(
    config: PPOConfig, runner: Any, builder: EpisodeBuilder, block: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Train batches of a block and a runner's weights: ours, and those of RLlib's pipeline from its episodes."""
    episodes = [part.episode for part in builder.build(block, StepExtras({}, {}, None))]
    learner = config.build_learner(spaces=runner.get_spaces())
    learner.module.set_state(runner.module.get_state())
    pipeline: Any = learner._learner_connector
    theirs = pipeline(
        rl_module=learner.module, batch={}, episodes=episodes, shared_data={}, metrics=learner.metrics
    )
    ours = BlockToBatch(discount=GAMMA, gae_lambda=LAMBDA)(
        rl_module=learner.module, batch={}, episodes=[block]
    )
    return ours, theirs


@pytest.mark.parametrize("how", ["terminated", "truncated", "mixed"])
@pytest.mark.parametrize("shared_layers", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_train_batches_equal_those_of_rllibs_own_pipeline(how: str, shared_layers: bool, dtype: Any) -> None:
    config = ppo_config(shared_layers=shared_layers, how=how, dtype=dtype)
    runner = deterministic(make_runner(BlockRunner, fast_sampling(config.copy(copy_frozen=False))))
    runner.sample(num_timesteps=STEPS * ENVS)
    block = runner.sample(num_timesteps=STEPS * ENVS)[0]
    # Ends amid the block, and episodes that its end cuts.
    assert block.final is not None
    assert not (block.terminated | block.truncated)[-1].all()
    builder = EpisodeBuilder(runner.batch, mapping_fn=policy_of, lookback=1)
    ours, theirs = batches_of_both(config, runner, builder, block)
    assert set(ours) == set(theirs) == {"team", "solo"}
    for policy, agents in (("team", 2), ("solo", 1)):
        names = (
            Columns.OBS,
            Columns.ACTIONS,
            Columns.ACTION_LOGP,
            Columns.ACTION_DIST_INPUTS,
            Postprocessing.ADVANTAGES,
            Postprocessing.VALUE_TARGETS,
        )
        mine = rows_in_order(ours[policy], names)
        keep = np.asarray(theirs[policy][Columns.LOSS_MASK])
        reference = rows_in_order(theirs[policy], names, keep)
        assert len(mine[Columns.OBS]) == agents * STEPS * ENVS
        # RLlib standardises over the rows that it adds after episodes, too: over the valid ones alone it gives ours.
        theirs_again = reference[Postprocessing.ADVANTAGES]
        reference[Postprocessing.ADVANTAGES] = (theirs_again - theirs_again.mean()) / theirs_again.std()
        for name in names:
            assert mine[name].dtype == reference[name].dtype, name
            np.testing.assert_allclose(mine[name], reference[name], rtol=1e-4, atol=1e-5, err_msg=name)


def critic_config(kind: str, **env_config: Any) -> Any:
    config = chance(MTMAPPOConfig(), **env_config).critic(kind).network("mlp", hidden_sizes=(8,))
    return config


def values_by_hand(learner: Any, block: Any, agent: str, kind: str) -> tuple[Any, Any]:
    """What the critics say of every step of an agent and of what followed it, asked one by one, (T, B)."""
    name = "critic" if kind == "shared" else f"{policy_of(agent)}_critic"
    critic = learner.module[name].unwrapped()
    head = critic.agents.index(agent) if kind != "own" else 0

    def value(look: Any, row: int) -> float:
        seen = look.observations[agent] if kind == "own" else look.state
        with torch.no_grad():
            return float(critic.values(torch.from_numpy(seen[row]))[head])

    now, after = np.empty(block.terminated.shape), np.empty(block.terminated.shape)
    finals = {tuple(index): row for row, index in enumerate(block.final_index.tolist())}
    for t in range(block.num_steps):
        for b in range(block.num_envs):
            seen = block.observations[agent] if kind == "own" else block.states
            with torch.no_grad():
                now[t, b] = float(critic.values(torch.from_numpy(seen[t, b]))[head])
    for t in range(block.num_steps):
        for b in range(block.num_envs):
            if block.terminated[t, b]:
                after[t, b] = 0.0
            elif block.truncated[t, b]:
                after[t, b] = value(block.final, finals[t, b])
            else:
                after[t, b] = now[t + 1, b] if t + 1 < block.num_steps else value(block.last, b)
    return now, after


@pytest.mark.parametrize("kind", ["shared", "separate", "own"])
def test_every_agents_targets_come_from_its_own_head_of_its_own_critic(kind: str) -> None:
    _, learner, block = sample(critic_config(kind))
    targets, advantages = {}, {}
    for agent in block.agents:
        now, after = values_by_hand(learner, block, agent, kind)
        ends = block.terminated | block.truncated
        estimate = np.zeros((block.num_steps + 1, block.num_envs))
        for t in reversed(range(block.num_steps)):
            carried = np.where(ends[t], 0.0, estimate[t + 1])
            estimate[t] = block.rewards[agent][t] + GAMMA * after[t] - now[t] + GAMMA * LAMBDA * carried
        advantages[agent] = estimate[:-1]
        targets[agent] = estimate[:-1] + now
    batch = train_batch(learner, block)
    for policy, agents in (("team", ("a", "c")), ("solo", ("b",))):
        raw = np.concatenate([advantages[agent].ravel() for agent in agents])
        given = batch[policy][Postprocessing.ADVANTAGES].numpy()
        np.testing.assert_allclose(given, (raw - raw.mean()) / raw.std(), rtol=1e-3, atol=1e-4)
        name = "critic" if kind == "shared" else f"{policy}_critic"
        critic = learner.module[name].unwrapped()
        asked = batch[name][Postprocessing.VALUE_TARGETS].numpy()
        for k, agent in enumerate(agents):
            mine = (
                asked[k * len(block) : (k + 1) * len(block), 0]
                if kind == "own"
                else asked[:, critic.agents.index(agent)]
            )
            np.testing.assert_allclose(mine, targets[agent].ravel(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "asked"), [("shared", 3), ("separate", 6), ("own", 9)])
def test_a_central_critic_is_asked_once_for_all_agents(
    kind: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of the steps, of what came last, and of the episodes' ends; per critic, or per agent that it sees alone.
    from invrec_rllib.rllib.mtmappo_modules import CriticModule

    _, learner, block = sample(critic_config(kind))
    calls = []
    original = CriticModule.values

    def counted(self: Any, seen: Any) -> Any:
        calls.append(seen)
        return original(self, seen)

    monkeypatch.setattr(CriticModule, "values", counted)
    train_batch(learner, block)
    assert len(calls) == asked


def test_the_state_reaches_critics_and_never_actors() -> None:
    _, learner, block = sample(critic_config("shared"))
    before = train_batch(learner, block)
    block.states[:] = 0.0
    after = train_batch(learner, block)
    for policy in ("team", "solo"):
        for name in (Columns.OBS, Columns.ACTION_DIST_INPUTS):
            torch.testing.assert_close(after[policy][name], before[policy][name], rtol=0, atol=0)
        assert not torch.equal(
            after[policy][Postprocessing.ADVANTAGES], before[policy][Postprocessing.ADVANTAGES]
        )
    own = sample(critic_config("own"))
    # Without a central critic nobody records the state.
    assert own[2].states is None


@pytest.mark.parametrize("memory", ["gru", "lstm"])
def test_sequences_repeat_every_step_where_episodes_end_anywhere(memory: Any) -> None:
    config = critic_config("shared").memory(memory, size=3, max_seq_len=4)
    runner, learner, _ = sample(config)
    torch.manual_seed(0)
    for name in ("team", "solo"):
        # Untrained, memory adds nothing, and heads make little of anything: both must matter here.
        for parameter in learner.module[name].parameters():
            torch.nn.init.normal_(parameter, std=0.7)
    state = learner.module.get_state()
    runner.module.set_state({name: state[name] for name in ("team", "solo")})
    for _ in range(2):
        block = runner.sample(num_timesteps=STEPS * ENVS)[0]
    batch = train_batch(learner, block)
    for name, agents in (("team", 2), ("solo", 1)):
        columns = batch[name]
        mask = columns[Columns.LOSS_MASK]
        given = columns[Columns.ACTION_DIST_INPUTS][mask]
        assert len(given) == agents * len(block)
        module = learner.module[name].unwrapped()

        def repeated(module: Any = module, columns: Any = columns, mask: Any = mask, **changes: Any) -> Any:
            with torch.no_grad():
                return module.forward_train({**columns, **changes})[Columns.ACTION_DIST_INPUTS][mask]

        torch.testing.assert_close(repeated(), given, rtol=1e-5, atol=1e-5)
        # Some sequences go on, others begin; each with the other's state would be told apart.
        first = columns[Columns.STATE_IN]
        begins = ~torch.stack([value.flatten(1).any(1) for value in first.values()]).any(0)
        assert begins.any()
        assert not begins.all()
        for chosen in (begins, ~begins):
            wrong = {
                key: torch.where(chosen[:, None], 0.5 - value.sign(), value) for key, value in first.items()
            }
            assert float((repeated(**{Columns.STATE_IN: wrong}) - given).abs().max()) > 0.01


def test_several_blocks_are_one_batch_in_a_fixed_order() -> None:
    runner, learner, first = sample(critic_config("shared"))
    second = runner.sample(num_timesteps=STEPS * ENVS)[0]
    connector = learner._learner_connector
    both = connector(
        rl_module=learner.module,
        batch={},
        episodes=[first, second],
        shared_data={},
        metrics=learner.metrics,
    )
    assert list(both) == sorted(both)
    parts = [train_batch(learner, block) for block in (first, second)]
    for name, columns in both.items():
        joined = torch.cat([part[name][Columns.OBS] for part in parts])
        torch.testing.assert_close(columns[Columns.OBS], joined, rtol=0, atol=0)
    mixed = both["solo"][Postprocessing.ADVANTAGES]
    # Standardised over both, not each apart.
    assert abs(float(mixed.mean())) < 1e-5
    assert abs(float(mixed[: len(first)].mean())) > 1e-4


def test_blocks_without_states_are_refused_where_a_critic_reads_them() -> None:
    _, learner, block = sample(critic_config("shared"))
    block.states = None
    with pytest.raises(InputError, match="uses_global_state"):
        train_batch(learner, block)


def test_a_recurrent_value_function_cannot_learn_from_blocks() -> None:
    config = ppo_config()
    config.rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[8], use_lstm=True, max_seq_len=4))
    fast_sampling(config)
    runner = make_runner(BlockRunner, config)
    learner = config.build_learner(spaces=runner.get_spaces())
    block = runner.sample(num_timesteps=STEPS * ENVS)[0]
    with pytest.raises(InputError, match='handover="episodes"'):
        train_batch(learner, block)


def reviewed_world(every: int) -> Any:
    data = load_scenario("tiny").model_dump(exclude_unset=True)
    data["supply"] = {**data.get("supply", {}), "review_periods": every}
    return build_scenario(data, source=f"every {every} periods")


def reviewed(every: int, **changes: Any) -> Any:
    settings = TrainSettings(
        **{
            "scenario": "tiny",
            "envs_per_runner": ENVS,
            "steps_per_iteration": ENVS * HORIZON,
            "minibatch_size": 60,
            **changes,
        }
    )
    return build_config(settings, scenario=reviewed_world(every))


@pytest.mark.parametrize("memory", ["none", "gru"])
def test_between_reviews_the_inventory_has_nothing_to_learn(memory: str) -> None:
    _, learner, block = sample(reviewed(4, memory=memory, max_seq_len=7))
    batch = train_batch(learner, block)
    reviews = -(-HORIZON // 4)
    for policy, steps in (("inventory", reviews), ("recommender", HORIZON)):
        columns = batch[policy]
        mask = columns.get(Columns.LOSS_MASK)
        counted = (
            columns[Postprocessing.ADVANTAGES] if mask is None else columns[Postprocessing.ADVANTAGES][mask]
        )
        assert counted.shape == (steps * ENVS,)
        assert abs(float(counted.mean())) < 1e-5
        assert float(counted.std(unbiased=False)) == pytest.approx(1.0, abs=1e-4)


def test_rewards_between_reviews_belong_to_the_decision_before_them() -> None:
    _, learner, block = sample(reviewed(3))
    now, estimate = discounted_between_reviews(learner, block, every=3)
    given = train_batch(learner, block)["inventory"][Postprocessing.ADVANTAGES].reshape(-1, ENVS).numpy()
    raw = estimate - now
    np.testing.assert_allclose(given, (raw - raw.mean()) / raw.std(), rtol=1e-3, atol=1e-3)


def discounted_between_reviews(learner: Any, block: Any, *, every: int) -> tuple[Any, Any]:
    """Values at the reviews and the targets of the process that moves from review to review, (K, B)."""
    critic = learner.module["critic"].unwrapped()
    head = critic.agents.index("inventory")
    with torch.no_grad():
        values = critic.values(torch.from_numpy(block.states)).numpy()[..., head]
        beyond = critic.values(torch.from_numpy(block.final.state)).numpy()[..., head]
    discount, trace = 0.9, 0.8
    rewards = block.rewards["inventory"].astype(np.float64)
    starts = range(0, block.num_steps, every)
    targets, following = [], None
    for start in reversed(starts):
        stop = min(start + every, block.num_steps)
        earned = sum(discount ** (t - start) * rewards[t] for t in range(start, stop))
        value = beyond if stop == block.num_steps else values[stop]
        carried = value if following is None else trace * following + (1 - trace) * value
        following = earned + discount ** (stop - start) * carried
        targets.append(following)
    return values[list(starts)], np.array(targets[::-1])


def test_a_block_without_any_decision_of_an_agent_leaves_it_alone() -> None:
    # Two steps of a review period of 3, and none of them a review, where every sample takes two steps.
    config = reviewed(3, steps_per_iteration=2 * ENVS, minibatch_size=ENVS)
    config.env_runners(batch_mode="truncate_episodes", rollout_fragment_length=2)
    runner, learner, _ = sample(config)
    block = runner.sample(num_timesteps=2 * ENVS)[0]
    assert not block.decides["inventory"].any()
    before = {name: value.clone() for name, value in learner.module["inventory"].state_dict().items()}
    other = {name: value.clone() for name, value in learner.module["recommender"].state_dict().items()}
    update(learner, block, minibatch_size=ENVS)
    after = learner.module["inventory"].state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    moved = learner.module["recommender"].state_dict()
    assert not all(torch.equal(moved[name], value) for name, value in other.items())
    assert all(torch.isfinite(value).all() for value in moved.values())


def test_unlike_observation_spaces_share_a_critic() -> None:
    # As asked for in ray#12851 and ray#15363: agents of unlike spaces, more than two of them.
    _, learner, block = sample(firm_config())
    sizes = {agent: block.observations[agent].shape[-1] for agent in block.agents}
    assert len(set(sizes.values())) == 2
    assert set(train_batch(learner, block)) == {"inventory", "recommender", "critic"}
    _, learner, block = sample(critic_config("shared"))
    targets = train_batch(learner, block)["critic"][Postprocessing.VALUE_TARGETS]
    assert targets.shape == (len(block), 3)
