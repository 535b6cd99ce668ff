"""What critics there can be, and what their modules are called."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

CriticKind: TypeAlias = Literal["shared", "separate", "own"]
SHARED_CRITIC = "critic"


def own_critic(policy: str) -> str:
    """Module id of the critic that judges one policy alone."""
    return f"{policy}_critic"


def critic_names(kind: CriticKind, policies: Iterable[str]) -> list[str]:
    """Module ids of the critics of a kind: one for all policies, or one for each."""
    return [SHARED_CRITIC] if kind == "shared" else [own_critic(policy) for policy in policies]
