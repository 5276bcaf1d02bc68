"""How Kafka is reached: where, by which protocol, as whom; and in words what is wrong when it is not."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512
from pydantic import SecretStr

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]

_NOT_ALLOWED = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
_FASTSTREAM = {"SCRAM-SHA-512": SASLScram512, "SCRAM-SHA-256": SASLScram256, "PLAIN": SASLPlaintext}


@dataclass(frozen=True, slots=True)
class Kafka:
    """Where Kafka is and who we are there. Nothing is connected by making one."""

    servers: str
    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str | None = None
    password: SecretStr | None = None
    ca_file: Path | None = None

    @property
    def by_user(self) -> bool:
        """Whether the broker knows who we are."""
        return self.protocol.startswith("SASL_")

    @property
    def client(self) -> dict[str, Any]:
        """What every client of aiokafka is given."""
        return {"bootstrap_servers": self.servers, **self._security}

    @property
    def _security(self) -> dict[str, Any]:
        found: dict[str, Any] = {"security_protocol": self.protocol, "ssl_context": self._tls}
        if self.by_user and self.password:
            found["sasl_mechanism"] = self.mechanism
            found["sasl_plain_username"] = self.username
            found["sasl_plain_password"] = self.password.get_secret_value()
        return found

    @property
    def _tls(self) -> ssl.SSLContext | None:
        """Read anew for every client: a new authority's file is taken in without a restart."""
        if not self.protocol.endswith("SSL"):
            return None
        return ssl.create_default_context(cafile=self.ca_file)

    @property
    def security(self) -> BaseSecurity:
        """The same for FastStream's broker."""
        if self.by_user and self.username and self.password:
            made = _FASTSTREAM[self.mechanism]
            return made(self.username, self.password.get_secret_value(), ssl_context=self._tls)
        return BaseSecurity(ssl_context=self._tls)

    async def why(self, error: KafkaError | OSError) -> str:
        """What is behind an error of a client, and what to look at.

        aiokafka says "Unable to bootstrap" whatever happened, so the first steps are gone through once more.
        """
        if isinstance(error, _NOT_ALLOWED):
            return f"user {self.username} lacks a right ({error}): `acls apply` and `topics apply` are for an operator"
        return await self._refusal() or f"{type(error).__name__}: {error}"[:300]

    async def _refusal(self) -> str | None:
        """Why no server lets us in; None where one does."""
        found = None
        for host, port, _ in collect_hosts(self.servers):
            try:
                connection = await create_conn(host, port, request_timeout_ms=5_000, **self._security)
                try:
                    await connection.send(MetadataRequest([]))
                finally:
                    connection.close()
            except (TimeoutError, OSError, KafkaError) as error:
                found = f"{host}:{port} {self._words(error)}"
            else:
                return None
        return found

    def _words(self, error: Exception) -> str:
        match error:
            case SaslAuthenticationFailed():
                return f"refuses user {self.username}: check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            case UnsupportedSaslMechanismError():
                return f"does not take {self.mechanism}: check KAFKA_SASL_MECHANISM"
            case ssl.SSLCertVerificationError():
                return f"shows a certificate we do not trust ({error.verify_message}): check KAFKA_SSL_CA_FILE"
            case ConnectionRefusedError():
                return "does not answer: nothing listens there"
            case ssl.SSLError() | ConnectionResetError() if self.protocol.endswith("SSL"):
                return f"does not speak TLS as we do, KAFKA_SECURITY_PROTOCOL is {self.protocol}"
            case KafkaError():
                return f"ends the connection: it may want TLS or a user, KAFKA_SECURITY_PROTOCOL is {self.protocol}"
        return f"cannot be reached: {type(error).__name__} {error}".rstrip()
