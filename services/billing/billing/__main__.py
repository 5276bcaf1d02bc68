"""`python -m billing`: the same as the command `billing`."""

from billing.app import cli

cli()
