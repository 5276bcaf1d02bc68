"""`python -m catalog` is the same as the console script."""

from catalog.app import cli

cli()
