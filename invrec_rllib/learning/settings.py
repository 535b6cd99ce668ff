"""What a training run is: one validated, frozen set of settings, from Python, the command line or YAML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from invrec_rllib.errors import InputError
from invrec_rllib.learning.critic_names import CriticKind

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Power = Annotated[float, Field(ge=0, le=2)]


class TrainSettings(BaseModel):
    """Everything that decides a run, but for code and chance of the machine.

    The defaults train the pair on `grocery` in a few minutes on two cores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scenario: Annotated[str, Field(min_length=1)] = Field(
        default="grocery", description="Preset name, or path of a scenario file."
    )
    algo: Literal["mtmappo", "ppo"] = Field(
        default="mtmappo",
        description="mtmappo: central critic, a speed for every part; ppo: RLlib's own PPO and sampling.",
    )
    agents: Literal["two", "joint"] = Field(
        default="two", description="Two departments, or one agent with the joint action (mtmappo)."
    )
    seed: Annotated[int, Field(ge=0, lt=2**31)] = Field(default=0, description="Seed of worlds and networks.")

    iterations: Count = Field(default=150, description="Training iterations in all, resumed ones included.")
    steps_per_iteration: Count = Field(default=1664, description="Env steps sampled per iteration.")
    epochs: Count = Field(default=6, description="Passes over an iteration's steps.")
    minibatch_size: Count = Field(default=416, description="Steps per gradient step.")
    learning_rate_inventory: Positive = Field(default=2e-3, description="Adam's first step size, inventory.")
    learning_rate_recommender: Positive = Field(
        default=4e-3, description="Adam's first step size, recommender."
    )
    learning_rate_critic: Positive = Field(
        default=4e-3, description="Adam's first step size, critics (mtmappo)."
    )
    schedule: Literal["power_law", "linear"] = Field(
        default="power_law",
        description="How step sizes fall (mtmappo): a / (1 + n / offset)^power after n updates, or linearly to "
        "learning_rate_end. ppo: linearly.",
    )
    power_critic: Power = Field(default=0.6, description="Exponent of the critic's step sizes.")
    power_recommender: Power = Field(default=0.8, description="Exponent of the recommender's.")
    power_inventory: Power = Field(default=1.0, description="Exponent of the inventory's.")
    power_offset: Positive = Field(default=12.0, description="Updates after which step sizes begin to fall.")
    drift_inventory: Positive | None = Field(
        default=None,
        description="How far the first update may move the inventory's policy, as mean KL divergence in nats. The "
        "budget falls like the square of the step sizes, which it scales by 0.1 to 10 (mtmappo); null: none.",
    )
    drift_recommender: Positive | None = Field(
        default=None, description="The same budget for the recommender's policy (mtmappo)."
    )
    learning_rate_end: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.1, description="Linear schedule: share of the step sizes left at the last iteration."
    )
    timescales: dict[str, dict[str, Any]] | None = Field(
        default=None,
        description="Module -> part -> schedule, in the place of all learning rates above; see `Timescales`.",
    )
    strict_timescales: bool = Field(
        default=False, description="Whether speeds that do not separate are an error instead of a warning."
    )
    critic: CriticKind = Field(
        default="shared",
        description="One critic of the global state for both agents, one for each, or one for each of its own "
        "observations (mtmappo).",
    )
    normalisation: Literal["none", "running"] = Field(
        default="none",
        description="Of the critic's targets by their running mean and deviation (mtmappo); worth it where rewards "
        "are far from 1.",
    )
    value_clip: Positive | None = Field(
        default=None, description="Bound on a value's change per update, in normalised units; null: none."
    )
    memory: Literal["none", "gru", "lstm"] = Field(default="none", description="Memory of actors (mtmappo).")
    memory_size: Count = Field(default=8, description="Numbers remembered per product, or per cell.")
    max_seq_len: Count = Field(default=26, description="Periods through which memory's gradients flow back.")
    discount: Annotated[float, Field(ge=0, le=1)] = Field(default=0.9, description="Per period [gamma].")
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = Field(default=0.8, description="Advantage estimation.")
    clip: Positive = Field(default=0.2, description="PPO's bound on the probability ratio, 1 +- clip.")
    entropy: Annotated[float, Field(ge=0)] = Field(default=0.0, description="Entropy bonus.")

    information: Literal["full", "observed", "department"] = Field(
        default="observed", description="What the agents see; see the environment's manual."
    )
    reward: Literal["team", "siloed", "mixed"] = Field(
        default="team", description="Whose profit is rewarded."
    )
    mixed_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="Weight of the team's profit in the mixed reward."
    )
    accounting: Literal["cash", "accrual", "shortfall"] = Field(
        default="accrual",
        description="Purchases rewarded when ordered (cash), or when sold or written off (accrual); the sums are "
        "equal. shortfall: accrual, and the inventory is rewarded for less of demand's margin missed, not for demand.",
    )
    adviser: str | None = Field(
        default=None,
        description="Simple policy whose decisions the agents see and adjust, such as coordinated; null: they "
        "adjust the textbook's orders and revenue-greedy slates.",
    )
    network: Literal["product", "mlp"] = Field(
        default="product",
        description="Weights shared over products and segments, or RLlib's default fully connected network.",
    )
    hidden: Count = Field(default=32, description="Width of product embeddings, or of the two mlp layers.")
    cell_hidden: Count = Field(default=16, description="Width of (segment, product) embeddings.")
    initial_std_inventory: Positive = Field(
        default=0.2, description="Spread of orders' actions before training, of a range of -1 to 1."
    )
    initial_std_recommender: Positive = Field(
        default=0.8, description="Spread of slates' actions before training, of a range of -1 to 1."
    )

    env_runners: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Remote sampling processes; 0: sample in the training process. mtmappo samples so fast that "
        "more pays in large worlds only; ppo is faster with 2.",
    )
    envs_per_runner: Count = Field(
        default=32, description="Environments that a sampling process steps together."
    )
    sample_timeout_seconds: Positive = Field(
        default=120.0,
        description="Seconds after which a remote sampling process that has given nothing is taken for hung, and "
        "started again; and for which training that lost its learners or their nodes waits for room, each time.",
    )
    max_failures: Annotated[int, Field(ge=0)] = Field(
        default=5,
        description="How often in a row training tries again, after longer and longer waits, when it lost all "
        "sampling processes, learners or their nodes; then it stops, with its newest checkpoint.",
    )
    learners: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Remote learner processes, which share an iteration's steps and every minibatch (DDP) and so keep "
        "the gradients of one; 0: learn in the training process. More than one: mtmappo.",
    )
    gpus_per_learner: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description="GPUs of each learner, or of the training process where that learns; fractions share one.",
    )
    threads: Count = Field(
        default=1,
        description="Threads of torch in the training process; networks as small as these gain little by more, "
        "and lose much where other work has the cores.",
    )
    evaluate_every: Annotated[int, Field(ge=0)] = Field(
        default=10, description="Iterations between evaluations on common random numbers; 0: never."
    )
    evaluate_episodes: Count = Field(default=100, description="Episodes per evaluation during training.")
    final_episodes: Annotated[int, Field(ge=2)] = Field(
        default=500, description="Episodes of the comparison with simple policies at the end."
    )
    checkpoint_every: Count = Field(default=10, description="Iterations between checkpoints.")

    @model_validator(mode="after")
    def _check_sizes(self) -> TrainSettings:
        if self.minibatch_size > self.steps_per_iteration:
            raise ValueError(
                f"minibatch_size = {self.minibatch_size} is above steps_per_iteration = {self.steps_per_iteration}"
            )
        return self

    @model_validator(mode="after")
    def _check_learners(self) -> TrainSettings:
        if self.learners > 1 and self.algo != "mtmappo":
            # RLlib's own learners of several policies drift apart without a word (ray issue 63819).
            raise ValueError(f"learners = {self.learners} needs algo = mtmappo, but algo = {self.algo!r}")
        for name in ("steps_per_iteration", "minibatch_size", "envs_per_runner"):
            if getattr(self, name) % max(self.learners, 1):
                raise ValueError(
                    f"{name} = {getattr(self, name)} must be a multiple of learners = {self.learners}, which share it"
                )
        return self

    @model_validator(mode="after")
    def _check_drift(self) -> TrainSettings:
        budgets = {"drift_inventory": self.drift_inventory, "drift_recommender": self.drift_recommender}
        given = [f"{name} = {budget:g}" for name, budget in budgets.items() if budget is not None]
        # KL is measured of a whole policy, and its budget falls by the power law of the policy's step sizes.
        wanted = {"algo": "mtmappo", "agents": "two", "schedule": "power_law", "timescales": None}
        unlike = [
            f"{name} = {getattr(self, name)!r}"
            for name, value in wanted.items()
            if getattr(self, name) != value
        ]
        if given and unlike:
            allowed = ", ".join(
                f"{name} = {'null' if value is None else value}" for name, value in wanted.items()
            )
            raise ValueError(f"{', '.join(given)} needs {allowed}, but {', '.join(unlike)}")
        return self


def make_settings(data: dict[str, Any], *, source: str = "settings") -> TrainSettings:
    """Validate settings.

    Raises:
        InputError: one line per fault, each naming the setting, its value and what is allowed.
    """
    try:
        return TrainSettings.model_validate(data)
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, fault['loc'])) or 'settings'}: "
            f"{fault['msg'].removeprefix('Value error, ')}, got {fault['input']!r}"
            for fault in error.errors()
        ]
        raise InputError(f"{source} are not valid:\n  " + "\n  ".join(lines)) from error


def load_settings(path: str | os.PathLike[str], **overrides: Any) -> TrainSettings:
    """Read settings from a YAML file of the keys of `TrainSettings`; overrides win.

    Raises:
        InputError: the file is missing, not YAML, not a mapping, or holds an unknown key or a bad value.
    """
    file = Path(path).expanduser()
    try:
        data = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"settings file {file} cannot be read: {error}") from error
    if not isinstance(data, dict):
        raise InputError(f"settings file {file} must hold a mapping, got {type(data).__name__}")
    return make_settings({**data, **overrides}, source=f"settings in {file}")
