"""SAC on Gymnasium's Pendulum: the two critics learn faster than the policy, which steps in every second update.

python -m invrec_rllib.examples.sac_pendulum --iterations 100
"""

from __future__ import annotations

from collections.abc import Sequence

from ray.rllib.algorithms.sac import SACConfig

from invrec_rllib.examples.arguments import parse, train
from invrec_rllib.rllib.timescale_config import timescales

# Clock: one update of SAC is one gradient step.
SPEEDS = {
    "default_policy": {
        "critic": {"kind": "power_law", "initial": 2e-3, "offset": 20_000, "power": 0.6},
        "actor": {
            "schedule": {"kind": "power_law", "initial": 1e-3, "offset": 20_000, "power": 0.9},
            "update_every": 2,
        },
        "alpha": 1e-3,
    }
}


def main(argv: Sequence[str] | None = None) -> float:
    """Run the example; returns the mean return at its end."""
    args = parse(argv, iterations=100)
    config = (
        SACConfig()
        .environment("Pendulum-v1")
        .env_runners(num_env_runners=args.env_runners)
        .learners(num_learners=args.learners)
        .training(
            train_batch_size_per_learner=128,
            num_steps_sampled_before_learning_starts=256,
            replay_buffer_config={"type": "EpisodeReplayBuffer", "capacity": 100_000},
            target_entropy="auto",
            n_step=1,
            tau=0.005,
        )
        .reporting(min_sample_timesteps_per_iteration=200)
        .debugging(seed=args.seed)
    )
    timescales(config, SPEEDS)  # the one line more
    return train(config, iterations=args.iterations)


if __name__ == "__main__":
    main()
