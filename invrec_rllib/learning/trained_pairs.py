"""Trained pairs from their folders, however they were trained."""

from __future__ import annotations

import os
from typing import TypeAlias

from invrec_rllib.learning.pathwise.files import is_pair
from invrec_rllib.learning.pathwise.policy import PathwisePolicy
from invrec_rllib.learning.trained import TrainedPolicy

TrainedPair: TypeAlias = TrainedPolicy | PathwisePolicy


def load_trained(path: str | os.PathLike[str], *, name: str = "trained") -> TrainedPair:
    """The pair of `invrec pathwise`, of a checkpoint or run of `invrec train`, or of an exported folder.

    Nothing that is read can execute code.

    Raises:
        InputError: none of these, or its files are damaged or of a newer format.
    """
    return PathwisePolicy.load(path, name=name) if is_pair(path) else TrainedPolicy.load(path, name=name)
