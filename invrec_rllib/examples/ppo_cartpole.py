"""PPO on Gymnasium's CartPole: the critic learns fast, the actor slowly and ever more slowly.

python -m invrec_rllib.examples.ppo_cartpole --iterations 20
"""

from __future__ import annotations

from collections.abc import Sequence

from ray.rllib.algorithms.ppo import PPOConfig

from invrec_rllib.examples.arguments import parse, train
from invrec_rllib.rllib.timescale_config import timescales

SPEEDS = {
    "default_policy": {
        "critic": {"kind": "power_law", "initial": 3e-3, "offset": 50, "power": 0.6},
        "actor": {"kind": "power_law", "initial": 1e-3, "offset": 50, "power": 0.9},
    }
}


def main(argv: Sequence[str] | None = None) -> float:
    """Run the example; returns the mean return at its end."""
    args = parse(argv, iterations=20)
    config = (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=args.env_runners, num_envs_per_env_runner=4)
        .learners(num_learners=args.learners)
        .training(train_batch_size_per_learner=1000, minibatch_size=125, num_epochs=8, gamma=0.99)
        .debugging(seed=args.seed)
    )
    timescales(config, SPEEDS)  # the one line more
    return train(config, iterations=args.iterations)


if __name__ == "__main__":
    main()
