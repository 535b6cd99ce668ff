"""Tuned parameters as YAML files: those that ship for the presets, and one's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from invrec_rllib.errors import InputError
from invrec_rllib.policies.base import Decision, Policy
from invrec_rllib.policies.tunable import tunable
from invrec_rllib.policies.view import Information, View
from invrec_rllib.scenario.files import scenario_sha256, write_text_atomically
from invrec_rllib.scenario.schema import Scenario
from invrec_rllib.sim.params import Params

_SHIPPED = resources.files("invrec_rllib.policies") / "tuned"


class TunedParameters(BaseModel):
    """Parameters of a policy, the world that they were tuned to, and where they come from."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    policy: str = Field(description="Name of the policy.")
    scenario: str = Field(description="Name of the world.")
    scenario_sha256: str = Field(description="Fingerprint of the world's YAML text.")
    information: Information = Field(description="What the policy was shown.")
    parameters: dict[str, float] = Field(description="Value of each parameter, by name.")
    provenance: dict[str, str | int | float] = Field(
        default_factory=dict, description="Command, seed, budget, profits on validation, versions."
    )

    def build(self, *, name: str | None = None) -> Policy:
        """The policy with these parameters, by its own name or another."""
        kind = tunable(self.policy)
        return kind.build(kind.parameters.from_values(self.parameters), name or self.policy)

    def fits(self, scenario: Scenario) -> bool:
        """Whether they were tuned to this very world."""
        return self.scenario == scenario.name and self.scenario_sha256 == scenario_sha256(scenario)


def load_tuned(path: str | os.PathLike[str]) -> TunedParameters:
    """Read a file that `save_tuned` wrote.

    Raises:
        InputError: no such file, or it does not hold the parameters of a policy.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise InputError(f"{file} is not a file")
    return _parse(file.read_text("utf-8"), source=str(file))


def save_tuned(tuned: TunedParameters, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write tuned parameters to a YAML file, atomically.

    Raises:
        InputError: the file exists and `overwrite` is false.
    """
    target = Path(path).expanduser()
    if target.exists() and not overwrite:
        raise InputError(f"{target} exists: choose another file, or allow overwriting")
    text = yaml.safe_dump(tuned.model_dump(mode="json"), sort_keys=False, width=110, allow_unicode=True)
    write_text_atomically(target, text)
    return target


def shipped_parameters(
    policy: str, scenario: Scenario, *, information: Information
) -> TunedParameters | None:
    """Parameters that ship for this very world; None where there are none.

    A department's view is that of `observed`: scores are as blurred.
    """
    seen = "full" if information == "full" else "observed"
    file = _SHIPPED / f"{policy}.{scenario.name}.{seen}.yaml"
    if not file.is_file():
        return None
    found = _parse(file.read_text("utf-8"), source=f"{policy} tuned to {scenario.name}")
    return found if found.fits(scenario) else None


def _parse(text: str, *, source: str) -> TunedParameters:
    try:
        found = TunedParameters.model_validate(yaml.safe_load(text))
        found.build()
    except (yaml.YAMLError, ValidationError, InputError) as error:
        raise InputError(f"{source} does not hold parameters of a policy: {error}") from error
    return found


@dataclass(frozen=True)
class TunedPolicy:
    """A policy by name, with the parameters that ship for the world it meets, or else those by formula.

    Attributes:
        name: of a policy with parameters.
    """

    name: str

    def begin(self, params: Params, *, num_episodes: int, seed: int) -> dict[str, int]:
        """What the policy begins with once the first view tells what it is shown."""
        return {"num_episodes": num_episodes, "seed": seed}

    def act(self, view: View, memory: Any) -> Decision:
        """As the policy with the parameters found in the first period."""
        if view.state.period == 0:
            policy = self.found_for(view.params.scenario, exact_scores=not view.score_noise)
            memory = (policy, policy.begin(view.params, **memory))
        policy, inner = memory
        decision: Decision = policy.act(view, inner)
        return decision._replace(memory=(policy, decision.memory))

    def found_for(self, scenario: Scenario, *, exact_scores: bool) -> Policy:
        """The policy that plays a world, with its parameters.

        Args:
            scenario: the world.
            exact_scores: whether affinity scores are shown as they are, not blurred.
        """
        found = shipped_parameters(self.name, scenario, information="full" if exact_scores else "observed")
        if found is not None:
            return found.build()
        kind = tunable(self.name)
        return kind.build(kind.parameters(), self.name)
