"""The learning speeds that a run's settings ask for, and what theory says of them."""

from __future__ import annotations

from typing import Any

from invrec_rllib.env.joint import FIRM
from invrec_rllib.learning.critic_names import critic_names
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.timescales import TimescaleReport, Timescales


def timescales_of(settings: TrainSettings) -> Timescales:
    """The learning speeds of a run: as its settings list them, or from its rates and exponents.

    Raises:
        InputError: the listed ones are not valid.
    """
    if settings.timescales is not None:
        import invrec_rllib.learning.torch_schedule  # noqa: F401 (makes the kind "torch" known)

        return Timescales(settings.timescales, strict=settings.strict_timescales)
    actors: dict[str, dict[str, Any]] = {
        "inventory": _speed(settings, settings.learning_rate_inventory, settings.power_inventory),
        "recommender": _speed(settings, settings.learning_rate_recommender, settings.power_recommender),
    }
    if settings.agents == "joint" and settings.network == "mlp":
        # One network without parts: at the speed of the slower agent.
        modules: dict[str, dict[str, Any]] = {FIRM: {"actor": actors["inventory"]}}
    elif settings.agents == "joint":
        # The parts of one policy can have speeds of their own, as its agents would.
        firm = {
            name: {"schedule": speed, "parameters": [rf"actors\.{name}\."]} for name, speed in actors.items()
        }
        modules = {FIRM: firm}
    else:
        modules = {name: {"actor": _budgeted(settings, name, speed)} for name, speed in actors.items()}
    speed = _speed(settings, settings.learning_rate_critic, settings.power_critic)
    critics = {name: {"critic": speed} for name in critic_names(settings.critic, modules)}
    return Timescales.from_data({"modules": {**modules, **critics}, "strict": settings.strict_timescales})


def check_of(settings: TrainSettings) -> TimescaleReport:
    """What theory says of a run's speeds over its length, one update of the learner per iteration.

    Raises:
        InputError: as `timescales_of`.
    """
    minibatches = settings.steps_per_iteration / settings.minibatch_size
    return timescales_of(settings).check(
        num_updates=settings.iterations,
        gradient_steps_per_update=minibatches * settings.epochs,
        env_steps_per_update=settings.steps_per_iteration,
    )


def _speed(settings: TrainSettings, rate: float, power: float) -> dict[str, Any]:
    if settings.schedule == "linear":
        final = rate * settings.learning_rate_end
        return {"kind": "linear", "initial": rate, "final": final, "length": settings.iterations}
    return _falling(settings, rate, power)


def _falling(settings: TrainSettings, initial: float, power: float) -> dict[str, Any]:
    if power == 0:
        return {"kind": "constant", "value": initial}
    return {"kind": "power_law", "initial": initial, "offset": settings.power_offset, "power": power}


def _budgeted(settings: TrainSettings, agent: str, speed: dict[str, Any]) -> dict[str, Any]:
    """The speed, with the agent's budget of drift where it has one."""
    drift, power = {
        "inventory": (settings.drift_inventory, settings.power_inventory),
        "recommender": (settings.drift_recommender, settings.power_recommender),
    }[agent]
    if drift is None:
        return speed
    # A small step's divergence goes with its square: so the budget lets the policy move at the pace of its step
    # sizes, and the factor between the two has only the scale of both to set right.
    return {"schedule": speed, "drift": _falling(settings, drift, 2 * power)}
