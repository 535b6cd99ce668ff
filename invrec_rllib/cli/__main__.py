"""`python -m invrec_rllib.cli`, where the script `invrec` is not on the path."""

from invrec_rllib.cli.app import main

main()
