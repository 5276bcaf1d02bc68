"""The local stack: Kafka and PostgreSQL as real processes, a mail sink, a development issuer, all services.

For development and tests on one machine, without containers. Nothing in it is part of a deployment.
"""
