"""One pair of real parts for a test session, and the helpers of the kit."""

pytest_plugins = ["kit.testing"]
