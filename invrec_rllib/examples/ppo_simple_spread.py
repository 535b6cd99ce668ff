"""PPO for three agents of MPE2's Simple Spread, one policy each, from the first and fastest to the last.

python -m invrec_rllib.examples.ppo_simple_spread --iterations 20

Needs ``pip install mpe2``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ray.rllib.algorithms.ppo import PPOConfig

from invrec_rllib.errors import require
from invrec_rllib.examples.arguments import parse, train
from invrec_rllib.rllib.register import register_parallel_env
from invrec_rllib.rllib.timescale_config import timescales

AGENTS = ["agent_0", "agent_1", "agent_2"]
CRITIC = {"kind": "power_law", "initial": 3e-3, "offset": 50, "power": 0.55}
SPEEDS = {
    agent: {"critic": CRITIC, "actor": {"kind": "power_law", "initial": 1e-3, "offset": 50, "power": power}}
    for agent, power in zip(AGENTS, (0.7, 0.85, 1.0), strict=True)
}


def make_env(options: dict[str, Any]) -> Any:
    """The PettingZoo environment; `register_parallel_env` makes one of RLlib's of it."""
    return require("mpe2.simple_spread_v3", extra="test").parallel_env(**options)


def policy_of_agent(agent_id: Any, episode: Any = None, **kwargs: Any) -> str:
    """Each agent has the policy of its name."""
    return str(agent_id)


def main(argv: Sequence[str] | None = None) -> float:
    """Run the example; returns the mean return at its end."""
    args = parse(argv, iterations=20)
    config = (
        PPOConfig()
        .environment(register_parallel_env("simple_spread", make_env), env_config={"max_cycles": 25})
        .env_runners(num_env_runners=args.env_runners, num_envs_per_env_runner=8)
        .learners(num_learners=args.learners)
        .multi_agent(policies=AGENTS, policy_mapping_fn=policy_of_agent)
        .training(train_batch_size_per_learner=1000, minibatch_size=250, num_epochs=6)
        .debugging(seed=args.seed)
    )
    timescales(config, SPEEDS)  # the one line more
    return train(config, iterations=args.iterations)


if __name__ == "__main__":
    main()
