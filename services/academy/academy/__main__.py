"""`python -m academy`: the same as the command `academy`."""

from academy.app import cli

cli()
