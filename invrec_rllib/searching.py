"""A pathwise search from a world to a folder that says where the pair in it comes from."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from invrec_rllib.errors import InputError
from invrec_rllib.learning.pathwise.files import SavedPair, save_pair
from invrec_rllib.learning.pathwise.search import search
from invrec_rllib.learning.pathwise.settings import PathwiseSettings
from invrec_rllib.learning.pathwise.start import starting_parameters
from invrec_rllib.learning.weights_folder import check_free_folder
from invrec_rllib.policies.tuned import TunedParameters
from invrec_rllib.policies.view import Information
from invrec_rllib.rundir import describe_machine
from invrec_rllib.scenario import Scenario
from invrec_rllib.sim import compile_scenario


def search_pair(
    world: Scenario,
    *,
    information: Information,
    out: str | os.PathLike[str],
    settings: PathwiseSettings | None = None,
    start: TunedParameters | None = None,
    provenance: Mapping[str, Any] | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Path:
    """Search, and write the best pair that was validated.

    Args:
        world: that it is searched in.
        information: what the pair sees of tastes: full or observed.
        out: folder; new or empty.
        settings: of the search; None: the defaults.
        start: parameters of `coordinated` to begin with; None: those that ship for the world, else by formula.
        provenance: entries besides versions, settings and validations, over those of the same name.
        progress: called after every step with the share done.

    Returns:
        The folder.

    Raises:
        InputError: the folder is taken, the world has what gradients cannot pass, or the information is another.
    """
    if information == "department":
        raise InputError("information is department: a pair decides as one firm, must be full or observed")
    settings = settings or PathwiseSettings()
    steps = settings.steps
    check_free_folder(Path(out).expanduser())
    chosen = starting_parameters(world, information=information, tuned=start)
    started = time.perf_counter()
    found = search(
        compile_scenario(world),
        chosen,
        information=information,
        settings=settings,
        progress=lambda step, at: progress(step / steps),
    )
    machine = describe_machine()
    origin = {
        **{key: machine[key] for key in ("command", "git_revision", "versions")},
        "seconds": round(time.perf_counter() - started, 1),
        "settings": settings.model_dump(),
        "validations": [{"step": at.step, "profit": round(at.profit, 2)} for at in found.history],
        **(provenance or {}),
    }
    return save_pair(SavedPair(found.pair, information, world, origin, settings.memory), out)
