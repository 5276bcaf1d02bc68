"""Topics are declared by the service that writes them and applied by a command, never made by accident."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from kit.kafka import Kafka
from schemas.event import Event

_WEEK_MS = 7 * 24 * 3600 * 1000
_OF_THE_TOPIC = 1
"""Where a setting comes from, as Kafka counts: from the topic itself, not from the broker or a default."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be."""

    name: str
    partitions: int
    config: dict[str, str] = field(default_factory=dict)


def declared(publishes: Iterable[type[Event]], dead_letters: str) -> list[Topic]:
    """The topics of a service: one per event, and its dead-letter topic.

    State facts are compacted and never expire, so that a new reader gets every aggregate; what is
    overwritten is gone within a week. Step facts are kept for ever.
    """
    topics = [
        Topic(
            event.topic,
            event.partitions,
            {
                "cleanup.policy": "compact",
                "max.compaction.lag.ms": str(_WEEK_MS),
                "min.cleanable.dirty.ratio": "0.1",
                "compression.type": "producer",
            }
            if event.state
            else {"cleanup.policy": "delete", "retention.ms": "-1", "compression.type": "producer"},
        )
        for event in publishes
    ]
    return [*topics, Topic(dead_letters, 1, {"cleanup.policy": "delete", "retention.ms": str(4 * _WEEK_MS)})]


async def apply(kafka: Kafka, topics: list[Topic], replication: int) -> dict[str, str]:
    """Make the topics be as declared; says per topic what was done. Running it again changes nothing.

    A partition count is never changed here: records of one key would move to another partition and
    lose their order.
    """
    admin = AIOKafkaAdminClient(**kafka.client, client_id="topics-apply")
    await admin.start()
    try:
        existing = {t["topic"]: len(t["partitions"]) for t in await admin.describe_topics()}
        done: dict[str, str] = {}
        new = [t for t in topics if t.name not in existing]
        if new:
            answer = await admin.create_topics(
                [
                    NewTopic(
                        t.name,
                        num_partitions=t.partitions,
                        replication_factor=replication,
                        topic_configs=t.config,
                    )
                    for t in new
                ]
            )
            for name, code, *_ in answer.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise error(f"topic {name}")
                done[name] = "made"
        old = [t for t in topics if t.name in existing]
        if old:
            await _alter(admin, old)
        for t in old:
            done[t.name] = (
                "as declared"
                if existing[t.name] == t.partitions
                else f"has {existing[t.name]} partitions, declared are {t.partitions}: not changed"
            )
        return done
    finally:
        await admin.close()


async def _alter(admin: AIOKafkaAdminClient, topics: list[Topic]) -> None:
    """Set what is declared. The request replaces all of a topic's settings, so an operator's others go along."""
    described = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, t.name) for t in topics])
    others = {
        name: {entry[0]: entry[1] for entry in entries if entry[3] == _OF_THE_TOPIC}
        for answer in described
        for _, _, _, name, entries in answer.resources
    }
    wanted = [ConfigResource(ConfigResourceType.TOPIC, t.name, configs={**others[t.name], **t.config}) for t in topics]
    for answer in await admin.alter_configs(wanted):
        for code, message, _, name in answer.resources:
            if code:
                raise for_code(code)(f"topic {name}: {message}")
