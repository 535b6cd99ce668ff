"""Checks of a parallel environment that PettingZoo's and RLlib's own suites do not make.

PettingZoo's `parallel_seed_test` passes environments that are random from the second step on, and its
`parallel_api_test` passes wrong shapes, types and bounds and NaN rewards. Run those suites beside this one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from invrec_rllib.errors import InvrecError

_LONGEST_EPISODE = 100_000

Actions = dict[str, Any]
Chooser = Callable[[Any], Actions]


class EnvironmentCheckError(InvrecError, AssertionError):
    """An environment breaks a rule; the message says which, where and how."""


class Moment(NamedTuple):
    """What an environment returned at one step, copied. Rewards and flags are None at the reset."""

    observations: dict[str, Any]
    rewards: dict[str, float] | None
    terminations: dict[str, bool] | None
    truncations: dict[str, bool] | None
    infos: dict[str, Any]
    state: Any


def check_env(env: Any, *, seed: int = 0) -> None:
    """Play whole episodes of a parallel environment and raise at the first broken rule.

    It checks that observations, rewards, flags, infos and the state have the declared keys, types, shapes and
    bounds and are finite at every step; that dicts and arrays are fresh, and actions left alone; that equal
    seeds replay a whole episode, other seeds and the next unseeded episode differ; that agents end together,
    by truncation or termination but never both, with a last observation and reward, after which a step is
    refused; that actions on the bounds are accepted; that NaN, wrong shapes, values outside the space and
    missing or unknown agents are refused.

    Args:
        env: a PettingZoo parallel environment of Box actions with `state()` and `state_space`; it is left
            reset or at the end of an episode.
        seed: of the episodes.

    Raises:
        EnvironmentCheckError: a rule is broken.
    """
    _check_spaces(env)
    chooser = _random_actions(env, seed)
    episode = _play(env, seed, chooser)
    _check_refused("a step after the end of the episode", partial(env.step, chooser(env)))
    again = _play(env, seed, _random_actions(env, seed))
    _compare(episode, again, seed)
    _check_differs(episode, _play(env, seed + 1, _random_actions(env, seed)), f"seeds {seed} and {seed + 1}")
    env.reset(seed=seed)
    unseeded = _play(env, None, _random_actions(env, seed))
    _check_differs(episode, unseeded, f"the episodes of seed {seed} and of the unseeded reset after it")
    for side in ("low", "high"):
        _play(env, seed, _bound_actions(side))
    _check_wrong_actions(env, seed)


def _require(rule: bool, message: str) -> None:
    if not rule:
        raise EnvironmentCheckError(message)


def _check_spaces(env: Any) -> None:
    _require(
        len(set(env.possible_agents)) == len(env.possible_agents) > 0, "possible_agents must be unique names"
    )
    for agent in env.possible_agents:
        for kind in ("observation_space", "action_space"):
            space = getattr(env, kind)(agent)
            _require(
                space is getattr(env, kind)(agent),
                f"{kind}({agent!r}) must return the same object every time",
            )
            _check_box(space, f"{kind}({agent!r})")
    _check_box(env.state_space, "state_space")


def _check_box(space: Any, name: str) -> None:
    _require(isinstance(space, gymnasium.spaces.Box), f"{name} must be a Box, is {type(space).__name__}")
    _require(space.is_bounded(), f"{name} must have finite bounds")


def _random_actions(env: Any, seed: int) -> Chooser:
    """Actions drawn uniformly from the bounds, the same for equal seeds."""
    rng = np.random.default_rng(seed)

    def choose(env: Any) -> Actions:
        actions = {}
        for agent in env.possible_agents:
            space = env.action_space(agent)
            actions[agent] = rng.uniform(space.low, space.high).astype(space.dtype)
        return actions

    return choose


def _bound_actions(side: str) -> Chooser:
    return lambda env: {agent: getattr(env.action_space(agent), side).copy() for agent in env.possible_agents}


def _play(env: Any, seed: int | None, choose: Chooser) -> list[Moment]:
    """One episode from reset to end, checked at every step."""
    agents = list(env.possible_agents)
    returned = env.reset(seed=seed)
    _require(env.agents == agents, f"after reset agents must be {agents}, are {env.agents}")
    _check_keys(returned, ("observations", "infos"), agents, when="reset")
    moments = [_checked_moment(env, returned[0], returned[-1], when="reset")]
    for step in range(_LONGEST_EPISODE):
        when = f"step {step}"
        actions = choose(env)
        given = {agent: np.array(action) for agent, action in actions.items()}
        before = returned
        kept = {agent: np.array(observation) for agent, observation in before[0].items()}
        # What wrappers do to the dicts that they are given, Ray's among them.
        for part in before:
            part["__all__"] = None
        returned = env.step(actions)
        _check_keys(
            returned, ("observations", "rewards", "terminations", "truncations", "infos"), agents, when=when
        )
        _check_untouched(before[0], kept, actions, given, when=when)
        moments.append(_checked_moment(env, *returned, when=when))
        if _check_end(env, returned[2], returned[3], agents, when=when):
            return moments
    raise EnvironmentCheckError(f"the episode does not end within {_LONGEST_EPISODE} steps")


def _check_keys(returned: Any, names: tuple[str, ...], agents: list[str], *, when: str) -> None:
    _require(len(returned) == len(names), f"{when} must return {len(names)} dicts, returned {len(returned)}")
    for name, part in zip(names, returned, strict=True):
        _require(
            isinstance(part, dict) and list(part) == agents,
            f"{name} of {when} must be a fresh dict with the keys {agents}, is {_brief(part)}",
        )
    _require(len({id(part) for part in returned}) == len(returned), f"{when} returned the same dict twice")


def _brief(part: Any) -> str:
    return f"a dict with the keys {list(part)}" if isinstance(part, dict) else type(part).__name__


def _check_untouched(before: Any, kept: Actions, actions: Actions, given: Actions, *, when: str) -> None:
    for agent, copy in kept.items():
        _require(
            np.array_equal(before[agent], copy, equal_nan=True),
            f"{when} changed the observation of {agent!r} that was returned before it: return fresh arrays",
        )
    for agent, copy in given.items():
        _require(np.array_equal(actions[agent], copy), f"{when} changed the action of {agent!r} in place")


def _checked_moment(
    env: Any,
    observations: Any,
    rewards: Any = None,
    terminations: Any = None,
    truncations: Any = None,
    infos: Any = None,
    *,
    when: str,
) -> Moment:
    if infos is None:  # a reset returns observations and infos alone
        rewards, infos = None, rewards
    for agent, observation in observations.items():
        _check_in(env.observation_space(agent), observation, f"observation of {agent!r} at {when}")
    for agent, reward in (rewards or {}).items():
        _require(
            isinstance(reward, float | np.floating) and bool(np.isfinite(reward)),
            f"reward of {agent!r} at {when} must be a finite float, is {reward!r}",
        )
    for flags in (terminations or {}, truncations or {}):
        for agent, flag in flags.items():
            _require(
                isinstance(flag, bool | np.bool_), f"flag of {agent!r} at {when} must be a bool, is {flag!r}"
            )
    for agent, info in infos.items():
        _require(isinstance(info, dict), f"info of {agent!r} at {when} must be a dict, is {info!r}")
        for key, value in info.items():
            finite = not isinstance(value, float | int | np.ndarray) or bool(np.isfinite(value).all())
            _require(finite, f"info {key!r} of {agent!r} at {when} must be finite, is {value!r}")
    _require(len({id(info) for info in infos.values()}) == len(infos), f"infos at {when} share a dict")
    state = env.state()
    _check_in(env.state_space, state, f"state() at {when}")
    return Moment(
        {agent: np.array(value) for agent, value in observations.items()},
        None if rewards is None else dict(rewards),
        None if terminations is None else dict(terminations),
        None if truncations is None else dict(truncations),
        {agent: dict(info) for agent, info in infos.items()},
        np.array(state),
    )


def _check_in(space: Any, value: Any, name: str) -> None:
    _require(isinstance(value, np.ndarray), f"{name} must be an array, is {type(value).__name__}")
    _require(value.dtype == space.dtype, f"{name} must be {space.dtype}, is {value.dtype}")
    _require(value.shape == space.shape, f"{name} must have shape {space.shape}, has {value.shape}")
    _require(bool(np.isfinite(value).all()), f"{name} must be finite, holds NaN or infinity")
    outside = np.argwhere((value < space.low) | (value > space.high))
    if len(outside):
        index = tuple(outside[0].tolist())
        bounds = f"[{space.low[index]}, {space.high[index]}]"
        raise EnvironmentCheckError(f"{name} is {value[index]} at {list(index)}, outside its bounds {bounds}")


def _check_end(env: Any, terminations: Any, truncations: Any, agents: list[str], *, when: str) -> bool:
    for agent in agents:
        _require(
            not (terminations[agent] and truncations[agent]),
            f"{agent!r} is terminated and truncated at {when}: only one may be true",
        )
    _require(
        len({(bool(terminations[agent]), bool(truncations[agent])) for agent in agents}) == 1,
        f"agents must end together and alike, at {when}: terminations {terminations}, truncations {truncations}",
    )
    over = bool(terminations[agents[0]] or truncations[agents[0]])
    expected = [] if over else agents
    _require(env.agents == expected, f"agents after {when} must be {expected}, are {env.agents}")
    return over


def _compare(first: list[Moment], second: list[Moment], seed: int) -> None:
    _require(
        len(first) == len(second),
        f"episodes of seed {seed} differ: {len(first) - 1} steps, then {len(second) - 1}",
    )
    for step, (one, other) in enumerate(zip(first, second, strict=True)):
        for name in Moment._fields:
            same = _equal(getattr(one, name), getattr(other, name))
            where = f"step {step - 1}" if step else "reset"
            _require(same, f"episodes of seed {seed} with equal actions differ in {name} at {where}")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)


def _check_differs(first: list[Moment], second: list[Moment], what: str) -> None:
    same = len(first) == len(second) and all(
        _equal(one.observations, other.observations) for one, other in zip(first, second, strict=True)
    )
    _require(not same, f"{what} must differ, but all observations are equal")


def _check_wrong_actions(env: Any, seed: int) -> None:
    """Every way in which an action can be wrong, for every agent."""
    good = _bound_actions("low")(env)
    for agent, action in good.items():
        beyond = env.action_space(agent).high + 1.0
        wrong = {
            "NaN": _with_first(action, np.nan),
            "infinity": _with_first(action, np.inf),
            "a value above the space": beyond.astype(action.dtype),
            "a wrong shape": np.append(action, action[:1]),
        }
        for what, value in wrong.items():
            env.reset(seed=seed)
            _check_refused(f"{what} in the action of {agent!r}", partial(env.step, {**good, agent: value}))
        env.reset(seed=seed)
        without = {name: value for name, value in good.items() if name != agent}
        _check_refused(f"a step without an action of {agent!r}", partial(env.step, without))
    env.reset(seed=seed)
    stranger = {**good, "nobody": np.zeros(1, dtype=np.float32)}
    _check_refused("an action of an unknown agent", partial(env.step, stranger))


def _with_first(action: Any, value: float) -> Any:
    changed = action.copy()
    changed.flat[0] = value
    return changed


def _check_refused(what: str, attempt: Callable[[], Any]) -> None:
    try:
        attempt()
    except EnvironmentCheckError:
        raise
    except Exception:
        return
    raise EnvironmentCheckError(f"{what} must raise an error, but was accepted")
