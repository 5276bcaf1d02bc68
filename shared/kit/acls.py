"""What a service may do in Kafka, made from what its code declares, and given by an operator's command.

It writes its own topics and its dead letters, reads what it has handlers for, and joins its own consumer
groups: nothing else, and no right to administer anything. What Kafka calls ACLs.
"""

from collections.abc import Iterable
from typing import NamedTuple

from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    KafkaAdminClient,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)
from kafka.errors import ClusterAuthorizationFailedError, KafkaError, SecurityDisabledError

from kit.kafka import Kafka


class Right(NamedTuple):
    """One thing that is allowed."""

    resource: str
    """TOPIC or GROUP."""
    name: str
    operation: str
    """READ or WRITE; both let the resource be described as well."""
    prefixed: bool = False
    """Whether it holds for all names that begin so."""

    def __str__(self) -> str:
        return f"{self.operation:6} {self.resource:6} {self.name}{'*' if self.prefixed else ''}"


def declared(writes: Iterable[str], reads: Iterable[str], group: str) -> list[Right]:
    """The rights of a service: the topics it owns, those it has handlers for, its group and later generations."""
    return [
        *(Right("TOPIC", topic, "WRITE") for topic in writes),
        *(Right("TOPIC", topic, "READ") for topic in reads),
        Right("GROUP", group, "READ"),
        # With the dot, so that nobody else's name can begin like ours.
        Right("GROUP", f"{group}.", "READ", prefixed=True),
    ]


class Applied(NamedTuple):
    """What was done for one right."""

    right: Right
    what: str


def apply(kafka: Kafka, principal: str, rights: Iterable[Right], prune: bool = False) -> list[Applied]:
    """Give a principal (`User:billing`) its rights; running it again changes nothing.

    A right on topics and groups that it has and does not declare stays, since the version that still runs may
    need it, unless `prune`. Raises kafka.errors.KafkaError: SecurityDisabledError where the brokers have no
    authorizer, ClusterAuthorizationFailedError where we may not give rights.
    """
    wanted = set(rights)
    admin = KafkaAdminClient(**kafka.client, client_id="acls-apply")
    try:
        found, _ = admin.describe_acls(_all_of(principal))
        present = {_right(acl): acl for acl in found if acl.permission_type == ACLPermissionType.ALLOW}
        missing, surplus = wanted - present.keys(), present.keys() - wanted
        refused = admin.create_acls([_acl(principal, right) for right in missing])["failed"] if missing else []
        if refused:
            raise refused[0]("creating ACLs")
        if surplus and prune:
            for _, _, error in admin.delete_acls([_exactly(present[right]) for right in surplus]):
                if error.errno:
                    raise error("deleting ACLs")
        done = [
            *(Applied(right, "given" if right in missing else "as declared") for right in wanted),
            *(Applied(right, "taken away" if prune else "not declared: kept, `--prune` takes it") for right in surplus),
        ]
        return sorted(done)
    finally:
        admin.close()


def explain(error: KafkaError, kafka: Kafka) -> str:
    """What an operator can do about an error of `apply`."""
    if isinstance(error, SecurityDisabledError):
        return "this Kafka has no authorizer (authorizer.class.name): everybody may do everything"
    if isinstance(error, ClusterAuthorizationFailedError):
        return f"user {kafka.username} may not give rights: ALTER on the cluster is needed"
    return f"{type(error).__name__}: {error}"


def _acl(principal: str, right: Right) -> ACL:
    kind = ACLResourcePatternType.PREFIXED if right.prefixed else ACLResourcePatternType.LITERAL
    pattern = ResourcePattern(ResourceType[right.resource], right.name, kind)
    return ACL(principal, "*", ACLOperation[right.operation], ACLPermissionType.ALLOW, pattern)


def _right(acl: ACL) -> Right:
    pattern = acl.resource_pattern
    prefixed = pattern.pattern_type == ACLResourcePatternType.PREFIXED
    return Right(pattern.resource_type.name, pattern.resource_name, acl.operation.name, prefixed)


def _all_of(principal: str) -> ACLFilter:
    anywhere = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    return ACLFilter(principal, "*", ACLOperation.ANY, ACLPermissionType.ANY, anywhere)


def _exactly(acl: ACL) -> ACLFilter:
    at = acl.resource_pattern
    where = ResourcePatternFilter(at.resource_type, at.resource_name, at.pattern_type)
    return ACLFilter(acl.principal, acl.host, acl.operation, acl.permission_type, where)
