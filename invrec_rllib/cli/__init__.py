"""The command line, `invrec`."""

from invrec_rllib.cli.app import app, main

__all__ = ["app", "main"]
