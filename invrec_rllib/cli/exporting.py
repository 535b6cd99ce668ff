"""`invrec export`: trained agents as files that hold no code."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated

import typer

from invrec_rllib.cli.console import examples, help_of, say, working
from invrec_rllib.errors import InputError


def add_command(app: typer.Typer) -> None:
    """Add the command."""
    app.command(
        "export",
        help=help_of(export),
        epilog=examples(
            "invrec export runs/first exported/first",
            "invrec export runs/first/checkpoints/iteration_000060 exported/first --onnx",
            "invrec export ray_results/mine/checkpoint_000003 exported/mine --unpickle",
        ),
    )(export)


def export(
    source: Annotated[
        Path, typer.Argument(metavar="RUN|CHECKPOINT", help="Folder of a run, checkpoint or exported policy.")
    ],
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="Folder to write, new or empty.")],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="Write every agent as ONNX too; needs the extra onnx.")
    ] = False,
    unpickle: Annotated[
        bool,
        typer.Option(
            "--unpickle",
            help="Allow a checkpoint that only holds RLlib's pickles. Loading it EXECUTES what is in it: give this "
            "only for checkpoints that you trust.",
        ),
    ] = False,
) -> None:
    """Write a trained policy as policy.json and weights.safetensors, which hold no code, for others to load.

    Read it with `invrec evaluate DEST` or, in any environment with its spaces, `invrec_rllib.Policy.load(DEST)`.
    """
    from invrec_rllib.learning.export import find_export, load_policy, save_policy
    from invrec_rllib.learning.weights_folder import check_free_folder

    if not source.expanduser().is_dir():
        raise InputError(f"{source} is no folder")
    target = destination.expanduser().resolve()
    check_free_folder(target)
    try:
        found = find_export(source)
    except InputError:
        if not unpickle:
            raise
        from invrec_rllib.rllib.trained import unpickle_checkpoint

        # Said just now, by the option.
        with working("Unpickling"), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            policy = unpickle_checkpoint(source)
    else:
        policy = load_policy(found)
    with working("Writing and checking ONNX" if onnx else "Writing"):
        save_policy(policy, target, onnx=onnx)
    for file in sorted(target.iterdir()):
        say(f"{file}: {file.stat().st_size:,} bytes")
