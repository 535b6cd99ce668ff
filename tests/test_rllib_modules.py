"""The RLModules that PPO trains, without Ray running."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
import torch
from ray.rllib.core.columns import Columns

from invrec_rllib.env.encoder import encoder_for
from invrec_rllib.env.invrec_v0 import parallel_env
from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rllib.algorithm import build_config
from invrec_rllib.rllib.modules import ProductModule


def make_module(agent: str = "recommender", *, inference_only: bool = False, **changes: Any) -> ProductModule:
    env = parallel_env("tiny")
    config = {
        "layout": asdict(env.observation_layout(agent)),
        "hidden": 8,
        "cell_hidden": 8,
        "initial_std": 0.5,
        "value_scale": 10.0,
        "time_left_index": 1,
        **changes,
    }
    return ProductModule(
        observation_space=env.observation_space(agent),
        action_space=env.action_space(agent),
        inference_only=inference_only,
        model_config=config,
    )


@pytest.mark.parametrize("agent", ["inventory", "recommender"])
def test_a_module_acts_and_values(agent: str) -> None:
    module = make_module(agent)
    batch = {Columns.OBS: torch.rand(5, *module.observation_space.shape)}
    inputs = module.forward_train(batch)[Columns.ACTION_DIST_INPUTS]
    assert inputs.shape == (5, 2 * module.action_space.shape[0])
    assert module.compute_values(batch).shape == (5,)


def test_runners_get_no_critic_and_act_alike() -> None:
    learner, runner = make_module(), make_module(inference_only=True)
    assert not hasattr(runner, "critic")
    runner.set_state(learner.get_state(inference_only=True))
    batch = {Columns.OBS: torch.rand(3, *learner.observation_space.shape)}
    with torch.no_grad():
        torch.testing.assert_close(runner.forward_inference(batch), learner.forward_inference(batch))


def test_a_layout_that_does_not_fit_is_refused() -> None:
    layout = asdict(parallel_env("paper").observation_layout("recommender"))
    with pytest.raises(InputError, match="describes"):
        make_module(layout=layout)


def test_the_configuration_starts_at_the_textbook_and_knows_the_horizon() -> None:
    config = build_config(TrainSettings(scenario="paper", algo="ppo", discount=0.9))
    specs = config.rl_module_spec.rl_module_specs
    assert set(specs) == {"inventory", "recommender"}
    assert specs["inventory"].model_config["value_scale"] == pytest.approx(10.0)
    env = parallel_env("paper")
    index = specs["recommender"].model_config["time_left_index"]
    observations, _ = env.reset(seed=0)
    assert observations["recommender"][index] > 0
    while env.agents:
        zero = {agent: np.zeros(env.action_space(agent).shape, np.float32) for agent in env.agents}
        before = observations
        observations, *_ = env.step(zero)
    assert before["recommender"][index] > 0
    assert observations["recommender"][index] == 0


def test_the_encoder_finds_a_global_by_name() -> None:
    encoder = encoder_for(parallel_env("paper").params, "inventory", "full")
    names = [field.name for field in encoder.fields if field.kind == "global"]
    season = encoder.index_of_global("season")
    width = encoder.fields[names.index("season")].width
    assert encoder.index_of_global(names[names.index("season") + 1]) == season + width
