"""`python -m contracts`: the same as the command `contracts`."""

from contracts.app import cli

cli()
