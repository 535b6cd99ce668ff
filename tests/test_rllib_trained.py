"""Policies without RLlib act as RLlib does: of its modules, its algorithms and its checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from policies_made import SEEN, SPACES, mlp_description, shaken
from ray.rllib.algorithms.ppo.ppo_catalog import PPOCatalog
from ray.rllib.algorithms.ppo.torch.default_ppo_torch_rl_module import DefaultPPOTorchRLModule
from ray.rllib.connectors.module_to_env import GetActions
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.rl_module import RLModule
from ray.rllib.core.rl_module.torch import TorchRLModule
from ray.rllib.utils.spaces.space_utils import clip_action, unsquash_action
from typer.testing import CliRunner

from invrec_rllib import InputError, Policy, make_env_config, register
from invrec_rllib.cli.app import app
from invrec_rllib.learning.export import EXPORT_FOLDER, load_policy, save_policy
from invrec_rllib.learning.policy import PolicyState
from invrec_rllib.learning.spaces import action_bounds
from invrec_rllib.learning.trained import TrainedPolicy
from invrec_rllib.learning.trained_pairs import load_trained
from invrec_rllib.rllib.modules import ProductModule
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.rllib.mtmappo_modules import ActorModule
from invrec_rllib.rllib.quiet import build_quietly, start_ray, stop_ray
from invrec_rllib.rllib.trained import (
    policy_from_modules,
    policy_of,
    unpickle_checkpoint,
)

BOUNDED = SPACES["gaussian"]
UNBOUNDED = Box(-np.inf, np.inf, (2,), np.float32)


def actor_module(distribution: str, *, memory: str, space: Any) -> ActorModule:
    torch.manual_seed(0)
    module = ActorModule(
        observation_space=SEEN,
        action_space=space,
        model_config=mlp_description(distribution, memory=memory),
        catalog_class=PPOCatalog,
    )
    shaken(module.actor, spread=1.0)
    return module


def as_rllib_acts(
    module: Any,
    observations: np.ndarray,
    state: dict[str, Any],
    *,
    explore: bool,
    normalize: bool = True,
    clip: bool = False,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Actions of RLlib's module and pipeline, and the next state."""
    seen = torch.from_numpy(observations)
    batch: dict[str, Any] = {Columns.OBS: seen[:, None] if state else seen}
    if state:
        batch[Columns.STATE_IN] = {name: torch.as_tensor(value) for name, value in state.items()}
    with torch.no_grad():
        out = module.forward_exploration(batch) if explore else module.forward_inference(batch)
    if state:
        out[Columns.ACTION_DIST_INPUTS] = out[Columns.ACTION_DIST_INPUTS][:, 0]
    # The piece itself, of one module: pieces of pipelines want episodes, of which this one reads none.
    GetActions()._get_actions(out, module, explore)
    space, actions = module.action_space, out[Columns.ACTIONS].numpy()
    if normalize:
        actions = unsquash_action(actions, space)
    elif clip:
        actions = clip_action(actions, space)
    return actions, out.get(Columns.STATE_OUT, {})


@pytest.mark.parametrize("memory", ["none", "gru", "lstm"])
@pytest.mark.parametrize(
    ("distribution", "space"), [*((name, SPACES[name]) for name in SPACES), ("gaussian", UNBOUNDED)]
)
@pytest.mark.parametrize("explore", [False, True])
def test_actions_over_an_episode_are_rllibs(
    distribution: str, space: Any, memory: str, explore: bool, tmp_path: Path
) -> None:
    module = actor_module(distribution, memory=memory, space=space)
    policy_from_modules({"a": module}).save(tmp_path / "export")
    policy = Policy.load(tmp_path / "export")
    state: PolicyState = policy.initial_state(6)
    theirs: dict[str, Any] = {
        name: np.tile(value, (6, 1)) for name, value in module.get_initial_state().items()
    }
    differing = set()
    for step in range(5):
        seen = np.random.default_rng(step).uniform(-2, 2, (6, 4)).astype(np.float32)
        torch.manual_seed(step)
        expected, theirs = as_rllib_acts(module, seen, theirs, explore=explore)
        torch.manual_seed(step)
        action, state = policy.act("a", seen, state, deterministic=not explore)
        np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-6)
        differing.add(action.tobytes())
    assert len(differing) > 1


@pytest.mark.parametrize(("normalize", "clip"), [(True, False), (False, True), (False, False)])
def test_actions_beyond_the_box_become_what_rllib_makes_of_them(normalize: bool, clip: bool) -> None:
    module = actor_module("gaussian", memory="none", space=BOUNDED)
    policy = policy_from_modules({"a": module}, bounds=action_bounds(normalize=normalize, clip=clip))
    seen = np.random.default_rng(0).uniform(-9, 9, (50, 4)).astype(np.float32)
    expected, _ = as_rllib_acts(module, seen, {}, explore=False, normalize=normalize, clip=clip)
    raw, _ = as_rllib_acts(module, seen, {}, explore=False, normalize=False)
    # Some actions do lie beyond.
    assert (np.abs(raw[:, 1]) > 1).any()
    np.testing.assert_allclose(policy.act("a", seen)[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("space", [BOUNDED, SPACES["categorical"], SPACES["multi_categorical"]])
@pytest.mark.parametrize("shared", [False, True])
def test_rllibs_default_module_is_understood(space: Any, shared: bool) -> None:
    config = DefaultModelConfig(fcnet_hiddens=[7, 6], vf_share_layers=shared)
    module = DefaultPPOTorchRLModule(
        observation_space=SEEN, action_space=space, model_config=config, catalog_class=PPOCatalog
    )
    shaken(module)
    policy = policy_from_modules({"a": module})
    for explore in (False, True):
        seen = np.random.default_rng(1).uniform(-2, 2, (20, 4)).astype(np.float32)
        torch.manual_seed(3)
        expected, _ = as_rllib_acts(module, seen, {}, explore=explore)
        torch.manual_seed(3)
        action = policy.act("a", seen, deterministic=not explore)[0]
        np.testing.assert_allclose(action, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"fcnet_activation": "relu"},
        {"head_fcnet_hiddens": [4]},
        {"free_log_std": True},
        {"use_lstm": True},
        {"fcnet_use_layernorm": True},
    ],
)
def test_other_architectures_of_rllib_are_refused(changes: dict[str, Any]) -> None:
    module = DefaultPPOTorchRLModule(
        observation_space=SEEN,
        action_space=BOUNDED,
        model_config=DefaultModelConfig(fcnet_hiddens=[7], **changes),
        catalog_class=PPOCatalog,
    )
    with pytest.raises(InputError, match=r"'a' is RLlib's default, but not|reads"):
        policy_from_modules({"a": module})


def test_a_module_of_others_is_refused() -> None:
    class Own(TorchRLModule):
        pass

    with pytest.raises(InputError, match="module 'a' is a Own, must be"):
        policy_from_modules({"a": Own(observation_space=SEEN, action_space=BOUNDED)})


def test_weights_are_shared_until_they_are_saved(tmp_path: Path) -> None:
    module = actor_module("gaussian", memory="none", space=BOUNDED)
    live = policy_from_modules({"a": module})
    saved = load_policy(save_policy(live, tmp_path / "export"))
    seen = np.ones(4, np.float32)
    before = live.act("a", seen)[0]
    shaken(module.actor, seed=5)
    assert not np.array_equal(live.act("a", seen)[0], before)
    np.testing.assert_array_equal(saved.act("a", seen)[0], before)


@pytest.mark.slow
def test_checkpoints_of_an_algorithm_hold_its_policy(tmp_path: Path) -> None:
    config = (
        MTMAPPOConfig()
        .environment("invrec_v0", env_config=make_env_config("tiny", information="full", temperature=0.2))
        .multi_agent(policies=["inventory", "recommender"], policy_mapping_fn=lambda agent, *_, **__: agent)
        .memory("gru", max_seq_len=4)
        .training(train_batch_size_per_learner=96, minibatch_size=48, num_epochs=1)
        .env_runners(num_envs_per_env_runner=4)
    )
    register()
    start_ray(1)
    try:
        algorithm = build_quietly(config)
        algorithm.train()
        checkpoint = Path(algorithm.save_to_path(tmp_path / "checkpoint"))
        live = policy_of(algorithm)
        algorithm.stop()
    finally:
        stop_ray()
    assert live.agents == {"inventory": "inventory", "recommender": "recommender"}
    assert live.world is not None
    assert live.world["action_options"] == {"temperature": 0.2}
    assert live.world["information"] == "full"
    stored = Policy.load(checkpoint)
    # Without its folder a checkpoint holds pickles alone: they are read when asked for, and not in silence.
    (checkpoint / EXPORT_FOLDER).rename(tmp_path / "moved")
    with pytest.raises(InputError, match="--unpickle"):
        load_trained(checkpoint)
    with pytest.warns(UserWarning, match="can execute any code"):
        unpickled = unpickle_checkpoint(checkpoint)
    assert unpickled.world == live.world == stored.world
    for policy in (stored, unpickled):
        for name, actor in live.actors.items():
            seen = np.random.default_rng(0).uniform(size=(3, *(actor.observation_space.shape or ())))
            expected = live.act(name, seen, live.initial_state(3))[0]
            np.testing.assert_array_equal(policy.act(name, seen, policy.initial_state(3))[0], expected)
    refused = CliRunner().invoke(app, ["export", str(checkpoint), str(tmp_path / "refused")])
    assert (refused.exit_code, (tmp_path / "refused").exists()) == (2, False)
    assert "can execute any code" in refused.stderr
    done = CliRunner().invoke(app, ["export", str(checkpoint), str(tmp_path / "new"), "--unpickle"])
    assert done.exit_code == 0, done.stderr
    assert TrainedPolicy.load(tmp_path / "new").information == "full"
    asked = ["evaluate", str(tmp_path / "new"), "--scenario", "tiny", "--episodes", "4", "--json"]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["rows"][0]["policy"] == "new"


def test_a_folder_that_is_no_checkpoint_is_not_unpickled(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no checkpoint of an RLlib algorithm"):
        unpickle_checkpoint(tmp_path)


def test_the_product_module_of_ppo_acts_as_it_did() -> None:
    from test_rllib_modules import make_module

    module: RLModule = make_module("inventory")
    assert isinstance(module, ProductModule)
    shaken(module.actor)
    policy = policy_from_modules({"inventory": module})
    shape = module.observation_space.shape
    seen = np.random.default_rng(0).uniform(-1, 1, (5, *shape)).astype(np.float32)
    expected, _ = as_rllib_acts(module, seen, {}, explore=False)
    np.testing.assert_allclose(policy.act("inventory", seen)[0], expected, atol=1e-6)


def test_categories_that_rllib_counts_from_zero_stay_so() -> None:
    shifted = Discrete(3, start=5)
    module = actor_module("categorical", memory="none", space=shifted)
    seen = np.random.default_rng(0).uniform(-2, 2, (9, 4)).astype(np.float32)
    expected, _ = as_rllib_acts(module, seen, {}, explore=False)
    np.testing.assert_array_equal(policy_from_modules({"a": module}).act("a", seen)[0], expected)
