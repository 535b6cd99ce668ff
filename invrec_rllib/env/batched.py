"""The protocol of environments that play many episodes side by side, for runners that sample in whole arrays.

Bring your own: write a class with the members of `BatchedEnv`; it needs neither RLlib nor torch. Three rules make
one:

- All agents act from the first step of an episode on, each until it ends; the episode is over when the last one has
  ended. An agent that ended before the others shows its last observation in the look after that step, and zeros from
  then on; it earns 0, and its actions are ignored.
- An environment whose episode ends starts its next one in the same call of `step`: the look that is returned
  shows the next episode, and `Moved.final` the last look of the one that ended, from which a learner
  bootstraps where it was truncated.
- Returned arrays are the receiver's: they are not written to by later steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
from gymnasium.spaces import Box, Space
from numpy.typing import NDArray

Array = NDArray[Any]


class Look(NamedTuple):
    """What B environments show at one instant.

    Attributes:
        observations: by agent, (B, *shape of an observation).
        state: the global state for central critics, (B, S); None if it was not asked for.
        decides: by agent whether its action counts now, (B,); None: all, always.
        alive: by agent whether it has not ended yet, so that it acts now, (B,); None: all of them. In the last look
            of an episode nobody acts, and it is None.
    """

    observations: dict[str, Array]
    state: NDArray[np.float32] | None
    decides: dict[str, NDArray[np.bool_]] | None
    alive: dict[str, NDArray[np.bool_]] | None = None


class Moved(NamedTuple):
    """What a step of B environments gave.

    Attributes:
        look: after automatic resets: environments whose episode ended show their next episode's first look.
        rewards: by agent, (B,).
        terminated: whether the episode did, (B,); only what terminated has no value beyond its end.
        truncated: likewise, (B,); never true together with `terminated`.
        final: last look of the episodes that ended, rows in the order of
            ``np.flatnonzero(terminated | truncated)``; None if none ended.
        items: figures of this step, (B,) each, such as those of `env.accounts`; {} if there are none.
        terminals: by agent whether it terminated in this step, (B,); one that ended otherwise, with the episode or
            before (it is no longer `alive`), was truncated. None: all that ended did so as the episode did.
    """

    look: Look
    rewards: dict[str, NDArray[np.float32]]
    terminated: NDArray[np.bool_]
    truncated: NDArray[np.bool_]
    final: Look | None
    items: dict[str, NDArray[np.float64]]
    terminals: dict[str, NDArray[np.bool_]] | None = None


class BatchedEnv(Protocol):
    """B environments that step together.

    Attributes:
        agents: names, sorted as strings.
        num_envs: B.
        observation_spaces, action_spaces: of one environment, by agent.
        state_space: of one environment's global state, (S,); None if there is none.
    """

    agents: tuple[str, ...]
    num_envs: int
    observation_spaces: dict[str, Space[Any]]
    action_spaces: dict[str, Space[Any]]
    state_space: Box | None

    def reset(self) -> Look:
        """Start a fresh episode in every environment."""
        ...

    def step(self, actions: dict[str, Array]) -> Moved:
        """Play one step.

        Args:
            actions: by agent as its action space has them (already clipped or unsquashed), (B, *shape of an
                action).
        """
        ...

    def close(self) -> None:
        """Release what the environments hold; can be called again."""
        ...


def check_finite(moved: Moved) -> None:
    """See that rewards and observations are numbers; one that is not would spoil all weights that learn from it.

    Raises:
        ValueError: a NaN or infinity; the message says whose, and in which row.
    """
    shown = {"observation": moved.look.observations}
    if moved.final is not None:
        shown["final observation"] = moved.final.observations
    for kind, by_agent in {"reward": moved.rewards, **shown}.items():
        for agent, values in by_agent.items():
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                row = int(np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))[0])
                worst = values[row][~np.isfinite(values[row])].flat[0]
                raise ValueError(
                    f"the {kind} of {agent!r} must be finite, but holds {worst} in row {row} of {len(values)}"
                )
