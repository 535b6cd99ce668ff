"""What policies made of an experiment's episodes, one by one, kept on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from invrec_rllib.evaluation.rollout import rollout
from invrec_rllib.learning.trained_pairs import load_trained
from invrec_rllib.policies.base import Policy
from invrec_rllib.policies.registry import make_policy
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario import Scenario
from invrec_rllib.sim.params import FloatArray, Params, compile_scenario
from invrec_rllib.theory.fluid import fluid_bound

BOUND = "bound"
"""Name of what no policy exceeds on average, beside those of policies."""


@dataclass(frozen=True, eq=False)
class Score:
    """What one policy made of B episodes. Arrays have one entry per episode, (B,).

    Attributes:
        profit: money.
        units_sold: units; NaN of the bound.
        fill_rate: share of demand served at once, in [0, 1]; NaN of the bound.
    """

    profit: FloatArray
    units_sold: FloatArray
    fill_rate: FloatArray

    def save(self, path: Path) -> None:
        """Write to an ``.npz`` file, atomically."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.stem}.{os.getpid()}.part.npz")
        np.savez(part, **{field.name: getattr(self, field.name) for field in fields(self)})
        os.replace(part, path)

    @classmethod
    def load(cls, path: Path) -> Score:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(**{field.name: arrays[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Game:
    """A policy's episodes, as they are sent to the process that plays them.

    Attributes:
        player: a simple policy, or `BOUND`; of a trained pair its folder.
        trained: whether it is a trained pair's folder.
        world: that it plays.
        information: what a simple policy is shown; a trained pair sees what it saw in training.
        seed: of the episodes.
        episodes: how many; of the bound, its paths.
        name: ``condition/player``, or of a trained pair ``condition/variant/seed``.
    """

    player: str
    trained: bool
    world: Scenario
    information: Information
    seed: int
    episodes: int
    name: str


def play(game: Game, file: Path) -> None:
    """Play a game and keep its score in a file.

    Raises:
        InputError: the policy cannot play the world.
    """
    params = compile_scenario(game.world)
    if not game.trained and game.player == BOUND:
        score = _bound(params, game)
    else:
        policy, information = _policy(game)
        found = rollout(params, policy, seed=game.seed, episodes=game.episodes, information=information)
        score = Score(found.profit, found.sales_units.astype(np.float64), found.fill_rate)
    score.save(file)


def _policy(game: Game) -> tuple[Policy, Information]:
    if not game.trained:
        return make_policy(game.player), game.information
    pair = load_trained(game.player)
    return pair, pair.information


def _bound(params: Params, game: Game) -> Score:
    values = fluid_bound(params, seed=game.seed, paths=game.episodes).values
    unknown = np.full_like(values, np.nan)
    return Score(values, unknown, unknown)
