"""An RLlib configuration from our settings: an ordinary `AlgorithmConfig`, nothing hidden."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec

from invrec_rllib.env.encoder import encoder_for
from invrec_rllib.env.joint import FIRM
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.learning.speeds import check_of, timescales_of
from invrec_rllib.rllib.callbacks import EconomicsCallback
from invrec_rllib.rllib.modules import ProductModule
from invrec_rllib.rllib.mtmappo import MTMAPPOConfig
from invrec_rllib.rllib.register import JOINT_KEY, make_env_config, register
from invrec_rllib.scenario import Scenario, load_scenario
from invrec_rllib.sim import Params, compile_scenario

Agent = Literal["inventory", "recommender"]
INVENTORY: Agent = "inventory"
RECOMMENDER: Agent = "recommender"
# A list: a set would make the order of initialisation, and so the weights, depend on the hash seed.
AGENTS: list[Agent] = [INVENTORY, RECOMMENDER]


def policy_of_agent(agent_id: Any, episode: Any = None, **kwargs: Any) -> Agent:
    """The department that an agent belongs to, for `policy_mapping_fn`."""
    return INVENTORY if str(agent_id).startswith(INVENTORY) else RECOMMENDER


def policy_of_firm(agent_id: Any, episode: Any = None, **kwargs: Any) -> str:
    """The one policy of the joint agent, for `policy_mapping_fn`."""
    return FIRM


def env_options(settings: TrainSettings) -> dict[str, Any]:
    """Options of `invrec_v0.parallel_env` that a run's settings decide."""
    return {
        "information": settings.information,
        "reward": settings.reward,
        "mixed_weight": settings.mixed_weight,
        "accounting": settings.accounting,
        "adviser": settings.adviser,
        **({JOINT_KEY: True} if settings.agents == "joint" else {}),
    }


def build_config(settings: TrainSettings, *, scenario: Scenario | None = None) -> PPOConfig:
    """The RLlib configuration of a run; change it further as any other before `build_algo`.

    Args:
        settings: of the run.
        scenario: the world; None loads the one that the settings name.

    Raises:
        InputError, ScenarioError: settings or scenario are not valid; found before Ray starts.
    """
    world = scenario or load_scenario(settings.scenario)
    register()
    config = (
        _mtmappo(settings) if settings.algo == "mtmappo" else _ppo(settings, params=compile_scenario(world))
    )
    config.environment(
        "invrec_v0",
        env_config=make_env_config(world, seed=settings.seed, **env_options(settings)),
        # Ours is checked by its own suite; RLlib's check would reset every sub-environment with one seed.
        disable_env_checking=True,
    )
    config.env_runners(
        num_env_runners=settings.env_runners,
        num_envs_per_env_runner=settings.envs_per_runner,
        batch_mode="complete_episodes",
        sample_timeout_s=settings.sample_timeout_seconds,
    )
    # Of a process that hangs RLlib waits for its connectors' state too, after its samples; there is no method for it.
    config.sync_filters_on_rollout_workers_timeout_s = min(settings.sample_timeout_seconds, 10.0)
    config.fault_tolerance(
        restart_failed_env_runners=True,
        restart_failed_sub_environments=True,
        # Training itself waits longer and longer; RLlib would keep a failed process for a minute before it ends.
        delay_between_env_runner_restarts_s=1.0,
        # While a lost process has no node to start on, every iteration waits as long.
        env_runner_health_probe_timeout_s=10.0,
        # RLlib's half an hour would be spent on a process that hangs as soon as it is back.
        env_runner_restore_timeout_s=settings.sample_timeout_seconds,
    )
    config.learners(num_learners=settings.learners, num_gpus_per_learner=settings.gpus_per_learner)
    # RLlib counts what each learner gets; ours are sums, so that more learners change nothing but speed.
    sharing = max(settings.learners, 1)
    config.training(
        gamma=settings.discount,
        lambda_=settings.gae_lambda,
        train_batch_size_per_learner=settings.steps_per_iteration // sharing,
        minibatch_size=settings.minibatch_size // sharing,
        num_epochs=settings.epochs,
        clip_param=settings.clip,
        entropy_coeff=settings.entropy,
        use_kl_loss=False,
        vf_loss_coeff=1.0,
        # Returns are tens of rewards: the default bound of 10 would stop the critic from learning them.
        vf_clip_param=float("inf"),
    )
    config.debugging(seed=settings.seed, log_level="ERROR")
    return config


def policies_of(settings: TrainSettings) -> list[str]:
    """Module ids of a run's policies."""
    return [FIRM] if settings.agents == "joint" else list(AGENTS)


def _mtmappo(settings: TrainSettings) -> MTMAPPOConfig:
    config = MTMAPPOConfig()
    if settings.agents == "joint":
        config.multi_agent(policies=[FIRM], policy_mapping_fn=policy_of_firm)
    else:
        config.multi_agent(policies=AGENTS, policy_mapping_fn=policy_of_agent)
    config.critic(settings.critic, value_clip=settings.value_clip)
    config.memory(settings.memory, size=settings.memory_size, max_seq_len=settings.max_seq_len)
    config.network(
        kind=settings.network,
        hidden=settings.hidden,
        cell_hidden=settings.cell_hidden,
        hidden_sizes=(settings.hidden, settings.hidden),
        initial_std={
            INVENTORY: settings.initial_std_inventory,
            RECOMMENDER: settings.initial_std_recommender,
        },
        normalisation=settings.normalisation,
    )
    config.timescales(timescales_of(settings))
    check_of(settings).enforce()
    return config


def _ppo(settings: TrainSettings, *, params: Params) -> PPOConfig:
    """RLlib's own PPO, with its own sampling."""
    config = (
        PPOConfig()
        .multi_agent(policies=AGENTS, policy_mapping_fn=policy_of_agent)
        .rl_module(
            algorithm_config_overrides_per_module={
                INVENTORY: PPOConfig.overrides(lr=_schedule(settings, settings.learning_rate_inventory)),
                RECOMMENDER: PPOConfig.overrides(lr=_schedule(settings, settings.learning_rate_recommender)),
            }
        )
        .callbacks(EconomicsCallback)
    )
    return _with_modules(config, settings, params=params)


def _schedule(settings: TrainSettings, rate: float) -> list[list[float]]:
    steps = settings.iterations * settings.steps_per_iteration
    return [[0, rate], [steps, rate * settings.learning_rate_end]]


def _with_modules(config: PPOConfig, settings: TrainSettings, *, params: Params) -> PPOConfig:
    if settings.network == "mlp":
        config.rl_module(
            model_config=DefaultModelConfig(fcnet_hiddens=[settings.hidden] * 2, vf_share_layers=False)
        )
        return config
    specs: dict[str, RLModuleSpec] = {
        agent: RLModuleSpec(
            module_class=ProductModule,
            model_config=_product_config(params, agent, settings),
        )
        for agent in AGENTS
    }
    config.rl_module(rl_module_spec=MultiRLModuleSpec(rl_module_specs=specs))
    return config


def _product_config(params: Params, agent: Agent, settings: TrainSettings) -> dict[str, Any]:
    encoder = encoder_for(params, agent, settings.information, advised=settings.adviser is not None)
    return {
        "layout": asdict(encoder.layout),
        "hidden": settings.hidden,
        "cell_hidden": settings.cell_hidden,
        "initial_std": (
            settings.initial_std_inventory if agent == INVENTORY else settings.initial_std_recommender
        ),
        # Rewards are near 1 per period: a return is about the effective horizon.
        "value_scale": min(1.0 / max(1.0 - settings.discount, 1e-6), float(params.num_periods)),
        "time_left_index": encoder.index_of_global("periods_left"),
    }
