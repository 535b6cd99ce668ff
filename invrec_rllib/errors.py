"""The errors that users of this package meet, raised before Ray starts."""

from __future__ import annotations

import importlib
from types import ModuleType


class InvrecError(Exception):
    """Base of all errors of this package: the message names field, value and what is allowed."""


class ScenarioError(InvrecError, ValueError):
    """A scenario, or a file that should hold one, is not valid."""


class InputError(InvrecError, ValueError):
    """An argument, action, option or table is not valid."""


class EnvironmentFailedError(InvrecError, RuntimeError):
    """An environment failed again and again, though it was made anew each time."""


class LostError(InvrecError, RuntimeError):
    """Processes that training needs are gone, or give nothing; it can go on from its newest checkpoint."""


class TrainingStoppedError(InvrecError, RuntimeError):
    """Training cannot go on here and now; the message says why, and which checkpoint is kept."""


class MissingExtraError(InvrecError, ImportError):
    """An optional dependency is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: import path of the module, such as ``"matplotlib.pyplot"``.
        extra: the extra of this package that installs it.

    Raises:
        MissingExtraError: the module is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module.split('.')[0]} is not installed: pip install 'invrec-rllib[{extra}]' ({error})"
        ) from error
