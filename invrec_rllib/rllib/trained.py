"""From RLlib's modules and checkpoints to trained policies that need no RLlib."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ray.rllib.algorithms.algorithm import Algorithm

from invrec_rllib.errors import InputError
from invrec_rllib.learning.saved import DESCRIPTION_FILE, Saved, load_actors
from invrec_rllib.learning.trained import TrainedPolicy
from invrec_rllib.rllib.modules import ProductModule
from invrec_rllib.rllib.mtmappo_modules import ActorModule

# The folder within a checkpoint that holds its actors in a form that is safe to load.
POLICY_FOLDER = "policy"


def actors_of(algorithm: Algorithm, policies: Iterable[str], *, about: dict[str, Any]) -> Saved:
    """Copies of the actors of a running algorithm.

    Args:
        algorithm: it may go on learning.
        policies: module ids.
        about: what goes with the actors, plain JSON.

    Raises:
        InputError: a module is none of ours, so that its actor cannot be told from the rest.
    """
    actors, descriptions = {}, {}
    for name in policies:
        module: Any = algorithm.get_module(name)
        if not isinstance(module, ActorModule | ProductModule):
            raise InputError(
                f"module {name!r} is a {type(module).__name__}: only actors built by this package can be saved"
            )
        actors[name] = copy.deepcopy(module.actor).eval()
        descriptions[name] = dict(module.description)
    return Saved(actors, descriptions, about)


def load_trained(checkpoint: str | os.PathLike[str], *, name: str = "trained") -> TrainedPolicy:
    """The trained policy of a checkpoint that `invrec train` wrote, or of a saved policy's own folder.

    Nothing in the files is executed: of a checkpoint only the folder `policy` is read, not RLlib's pickles.

    Raises:
        InputError: neither.
    """
    path = Path(checkpoint).expanduser().resolve()
    folder = path if (path / DESCRIPTION_FILE).is_file() else path / POLICY_FOLDER
    if not (folder / DESCRIPTION_FILE).is_file():
        raise InputError(
            f"{path} is neither a checkpoint of invrec train nor a saved policy: {DESCRIPTION_FILE} is missing"
        )
    return TrainedPolicy(load_actors(folder), name=name)
