"""A broker that lets in only whom it knows: certificates, the operator, a user for each service.

Everything is made at the first start and kept beside the broker's data, in a folder that git ignores. The
operator is in the broker's own settings, since SCRAM users live in the cluster and somebody must make the first.

docker-compose.secure.yml calls it too, as the operator of its environment:

python -m stack.kafka_security certificates /folder kafka localhost 127.0.0.1
python -m stack.kafka_security users billing=password …
"""

import os
import secrets
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OPERATOR = "operator"
MECHANISM = "SCRAM-SHA-512"
YEAR = timedelta(days=365)


@dataclass(frozen=True, slots=True)
class Secured:
    """The folder with the secrets of one broker."""

    home: Path

    @property
    def authority(self) -> Path:
        """What clients trust."""
        return self.home / "ca.pem"

    @property
    def server(self) -> Path:
        """The broker's key and certificate."""
        return self.home / "server.pem"

    def make(self, *hosts: str) -> None:
        """Certificates for these names and addresses, unless there are some that last."""
        if self.server.exists() and _lasts(self.server):
            return
        self.home.mkdir(parents=True, exist_ok=True)
        authority, signed = _certificates(hosts)
        _keep(self.server, signed)
        _keep(self.authority, authority)

    def password(self, user: str) -> str:
        """A user's password, drawn the first time."""
        file = self.home / f"{user}.password"
        if not file.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            _keep(file, secrets.token_urlsafe(24).encode())
        return file.read_text()

    def new_password(self, user: str) -> None:
        """Forget a user's password: the next one asked for is another."""
        (self.home / f"{user}.password").unlink(missing_ok=True)

    def environment(self, servers: str, user: str = OPERATOR) -> dict[str, str]:
        """What a client needs to come in as this user."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "PLAIN" if user == OPERATOR else MECHANISM,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": self.password(user),
            "KAFKA_SSL_CA_FILE": str(self.authority),
        }

    def settings(self) -> str:
        """Lines of server.properties beside the listeners, which are CONTROLLER and SECURE."""
        operator = f'username="{OPERATOR}" password="{self.password(OPERATOR)}" '
        plain = f'org.apache.kafka.common.security.plain.PlainLoginModule required {operator}user_{OPERATOR}="{{}}";'
        plain = plain.format(self.password(OPERATOR))
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        return f"""\
listener.security.protocol.map=SECURE:SASL_SSL,CONTROLLER:SASL_PLAINTEXT
inter.broker.listener.name=SECURE
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.mechanism.controller.protocol=PLAIN
listener.name.controller.sasl.enabled.mechanisms=PLAIN
listener.name.controller.plain.sasl.jaas.config={plain}
listener.name.secure.sasl.enabled.mechanisms={MECHANISM},PLAIN
listener.name.secure.plain.sasl.jaas.config={plain}
listener.name.secure.scram-sha-512.sasl.jaas.config={scram}
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{OPERATOR}
allow.everyone.if.no.acl.found=false
ssl.keystore.type=PEM
ssl.keystore.location={self.server}
ssl.truststore.type=PEM
ssl.truststore.location={self.authority}
"""


def set_password(environment: dict[str, str], user: str, password: str) -> None:
    """Make a SCRAM user, or give it another password; `environment` is the operator's."""
    from kafka.admin import KafkaAdminClient, UserScramCredentialUpsertion

    from kit.settings import KafkaSettings

    admin = KafkaAdminClient(**KafkaSettings.model_validate(environment).kafka.client)
    try:
        failed = admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, MECHANISM, password)])[user]
        if failed:
            raise RuntimeError(f"user {user}: {failed}")
    finally:
        admin.close()


def _certificates(hosts: tuple[str, ...]) -> tuple[bytes, bytes]:
    """A new authority, whose key is forgotten at once, and a server's key and certificate signed by it; PEM."""
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Tandem local authority")])
    server_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.now(UTC)
    blank = x509.CertificateBuilder().issuer_name(authority_name)
    blank = blank.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + YEAR)
    authority = (
        blank.subject_name(authority_name)
        .serial_number(x509.random_serial_number())
        .public_key(authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        blank.subject_name(server_name)
        .serial_number(x509.random_serial_number())
        .public_key(server_key.public_key())
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    pem, pkcs8, open_ = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return authority.public_bytes(pem), server_key.private_bytes(pem, pkcs8, open_) + server.public_bytes(pem)


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _lasts(server: Path) -> bool:
    until = x509.load_pem_x509_certificate(server.read_bytes()).not_valid_after_utc
    return until > datetime.now(UTC) + timedelta(days=30)


def _keep(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)


def main() -> None:
    match sys.argv[1:]:
        case ["certificates", folder, *hosts]:
            made = Secured(Path(folder))
            made.make(*hosts)
            for file in (made.authority, made.server):
                file.chmod(0o644)  # The broker's container has a user of its own.
        case ["users", *users]:
            operator = {name: value for name, value in os.environ.items() if name.startswith("KAFKA_")}
            for user, _, password in (given.partition("=") for given in users):
                set_password(operator, user, password)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
