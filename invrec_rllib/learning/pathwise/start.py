"""Where a search begins: the coordinated heuristic's parameters for a world."""

from __future__ import annotations

from invrec_rllib.errors import InputError
from invrec_rllib.policies.coordinated import CoordinatedParameters
from invrec_rllib.policies.tuned import TunedParameters, shipped_parameters
from invrec_rllib.policies.view import Information
from invrec_rllib.scenario.schema import Scenario

POLICY = "coordinated"


def starting_parameters(
    scenario: Scenario, *, information: Information, tuned: TunedParameters | None = None
) -> CoordinatedParameters:
    """Parameters given, else those that ship for the world, else those by formula.

    Raises:
        InputError: the parameters given are of another policy.
    """
    if tuned is not None and tuned.policy != POLICY:
        raise InputError(f"parameters are of {tuned.policy}, must be of {POLICY}: the search begins with it")
    found = tuned or shipped_parameters(POLICY, scenario, information=information)
    return CoordinatedParameters() if found is None else CoordinatedParameters.from_values(found.parameters)
