"""What RLlib's learners keep outside of their checkpoints, though training depends on it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from ray.rllib.core.learner.torch.torch_learner import TorchLearner

# Attributes of RLlib's learners, module id -> scalar tensor: KL coefficients of PPO and APPO, SAC's temperature.
_COEFFICIENTS = ("curr_kl_coeffs_per_module", "curr_log_alpha")
# Module id -> env steps at the last update of target networks: of DQN and SAC, of APPO.
_TARGET_UPDATES = ("last_update_ts_by_mid", "_last_update_ts_by_mid")
_ENTROPY_SCHEDULES = "entropy_coeff_schedulers_per_module"


def collect(learner: TorchLearner) -> dict[str, Any]:
    """Plain data of all that the learner has of it."""
    state: dict[str, Any] = {"random": random_states()}
    for name in _COEFFICIENTS:
        if hasattr(learner, name):
            state[name] = {
                mid: value.detach().cpu().numpy().copy() for mid, value in getattr(learner, name).items()
            }
    for name in _TARGET_UPDATES:
        if hasattr(learner, name):
            state[name] = {mid: int(steps) for mid, steps in getattr(learner, name).items()}
    return state


def put_back(learner: TorchLearner, state: Mapping[str, Any], *, env_steps: int) -> None:
    """Continue where `collect` was called; `env_steps` are those sampled by then."""
    for name in _COEFFICIENTS:
        if hasattr(learner, name):
            for mid, value in state.get(name, {}).items():
                held = getattr(learner, name)[mid].data
                held.copy_(torch.as_tensor(np.asarray(value)).to(held).reshape(held.shape))
    for name in _TARGET_UPDATES:
        if hasattr(learner, name):
            getattr(learner, name).update(state.get(name, {}))
    # PPO evaluates its schedules after each update, so a fresh learner would use the first value once more.
    if env_steps and hasattr(learner, _ENTROPY_SCHEDULES):
        for mid in list(learner.module.keys()):
            getattr(learner, _ENTROPY_SCHEDULES)[mid].update(timestep=env_steps)
    set_random_states(state["random"])


def keep_optimized_temperature(learner: TorchLearner, module_id: str) -> None:
    """After SAC's `add_module`, which replaces the temperature that it has just given to an optimizer."""
    temperatures = getattr(learner, "curr_log_alpha", None)
    if temperatures is not None:
        (optimized,) = learner.get_optimizer(module_id, "alpha").param_groups[0]["params"]
        temperatures[module_id] = optimized


def random_states() -> dict[str, Any]:
    """States of this process' generators in plain data."""
    version, words, spare = random.getstate()
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 (RLlib draws from it)
    states = {
        "python": {"version": version, "words": list(words), "spare": spare},
        "numpy": numpy_state,
        "torch": torch.get_rng_state().numpy().copy(),
    }
    if torch.cuda.is_available():
        states["cuda"] = [state.numpy().copy() for state in torch.cuda.get_rng_state_all()]
    return states


def set_random_states(states: Mapping[str, Any]) -> None:
    """Let this process' generators continue where `random_states` was called."""
    python = states["python"]
    random.setstate((python["version"], tuple(python["words"]), python["spare"]))
    np.random.set_state(states["numpy"])  # noqa: NPY002
    torch.set_rng_state(torch.from_numpy(np.array(states["torch"])))
    saved = states.get("cuda", [])
    if torch.cuda.is_available() and len(saved) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([torch.from_numpy(np.array(state)) for state in saved])
