"""The self-service agreement: a versioned text, and who accepted which version when (CAT-2)."""

from collections.abc import Collection
from datetime import datetime
from hashlib import sha256
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey, func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from kit import audit
from kit.db import Base, Session
from kit.problems import Refused


class Agreement(Base):
    """One version of the agreement. Never changed once published."""

    __tablename__ = "agreements"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str]
    text: Mapped[str]
    sha256: Mapped[str]
    published_by: Mapped[str]
    published_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class Acceptance(Base):
    """The proof: this person accepted that text for the supplier. Rows are only ever added."""

    __tablename__ = "agreement_acceptances"

    supplier_id: Mapped[UUID] = mapped_column(ForeignKey("suppliers.id"), primary_key=True)
    version: Mapped[int] = mapped_column(ForeignKey("agreements.version"), primary_key=True)
    accepted_by: Mapped[str]
    """The name of the person, as given."""
    actor: Mapped[str]
    """The account through which it was given."""
    accepted_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    text_sha256: Mapped[str]


class NoAgreement(Refused):
    """No agreement has been published yet."""

    status = 404
    rule = "CAT-2"
    remedy = "Platform support publishes the first version."


class AgreementUnchanged(Refused):
    """This is word for word the current version; nobody needs to accept it again."""

    rule = "CAT-2"


class AgreementOutOfDate(Refused):
    """This is not the current version of the agreement."""

    rule = "CAT-2"
    remedy = "Read the current version and accept that one."


async def current(db: Session) -> Agreement | None:
    """The newest version; None before the first."""
    return await db.scalar(select(Agreement).order_by(Agreement.version.desc()).limit(1))


async def publish(db: Session, title: str, body: str, actor: str, now: datetime) -> Agreement:
    """Add the next version. The caller announces what it pauses."""
    await db.execute(text("select pg_advisory_xact_lock(hashtextextended('agreements', 0))"))
    digest = sha256(f"{title}\n{body}".encode()).hexdigest()
    last = await current(db)
    if last and last.sha256 == digest:
        raise AgreementUnchanged(version=last.version)
    new = Agreement(
        version=last.version + 1 if last else 1,
        title=title,
        text=body,
        sha256=digest,
        published_by=actor,
        published_at=now,
    )
    db.add(new)
    await db.flush()
    await audit.record(db, actor, "agreement.published", subject=f"agreement/{new.version}")
    return new


async def accept(db: Session, supplier_id: UUID, version: int, accepted_by: str, actor: str, now: datetime) -> bool:
    """Keep the proof that the current version was accepted. False: it was already, by whom stays as it was.

    Raises `NoAgreement` or `AgreementOutOfDate`.
    """
    agreement = await current(db)
    if agreement is None:
        raise NoAgreement()
    if version != agreement.version:
        raise AgreementOutOfDate(field="version", current=agreement.version)
    first = await db.scalar(
        insert(Acceptance)
        .values(
            supplier_id=supplier_id,
            version=version,
            accepted_by=accepted_by,
            actor=actor,
            accepted_at=now,
            text_sha256=agreement.sha256,
        )
        .on_conflict_do_nothing()
        .returning(Acceptance.version)
    )
    if first is None:
        return False
    await audit.record(db, actor, "agreement.accepted", subject=f"supplier/{supplier_id}", detail={"version": version})
    return True


async def accepted_versions(db: Session, supplier_ids: Collection[UUID]) -> dict[UUID, int]:
    """The newest version that each of these suppliers accepted, where it accepted any."""
    newest = (
        select(Acceptance.supplier_id, func.max(Acceptance.version))
        .where(Acceptance.supplier_id.in_(supplier_ids))
        .group_by(Acceptance.supplier_id)
    )
    return {row[0]: row[1] for row in await db.execute(newest)}


async def proofs(db: Session, supplier_id: UUID) -> list[Acceptance]:
    """Everything a supplier accepted, the newest version first."""
    mine = select(Acceptance).where(Acceptance.supplier_id == supplier_id)
    return list(await db.scalars(mine.order_by(Acceptance.version.desc())))
