"""Commercial terms: set for a scope from a day on, ended, announced (CAT-6)."""

from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import insert

from catalog import partners
from catalog.suppliers import usecases as suppliers
from catalog.terms.rows import Terms as Terms
from catalog.terms.rules import ALWAYS, Fee, Figures, Scope, fit
from kit import audit, outbox
from kit.db import Session, uuid7
from kit.problems import Refused
from schemas.course import TermsChanged
from schemas.values import Money


class TermsScopeUnclear(Refused):
    """Business terms are for everybody, or for one supplier and one customer; public ones name no customer."""

    status = 422
    rule = "CAT-6"


class NoDiscountInPublic(Refused):
    """Public enrollments carry no discount; their fee is a share of the price and a fixed amount."""

    status = 422
    rule = "CAT-13"


class TermsNotFound(Refused):
    """No such terms."""

    status = 404


class DefaultTermsStay(Refused):
    """The first default terms cannot end: something must hold for everybody."""

    rule = "CAT-6"
    remedy = "Set other default terms from a day on."


async def put_terms(db: Session, scope: Scope, valid_from: date, figures: Figures, actor: str) -> Terms:
    """Let these figures hold for a scope from a day on. The same again changes nothing.

    Raises `TermsScopeUnclear`, `NoDiscountInPublic`, `UnknownCustomer` or `SupplierNotFound`.
    """
    if not scope.makes_sense:
        raise TermsScopeUnclear(field="supplier_id" if scope.customer_id else "customer_id")
    if not fit(scope, figures):
        raise NoDiscountInPublic(field="discount_bp")
    if scope.supplier_id:
        await suppliers.require_active(db, [scope.supplier_id])
    if scope.customer_id:
        await partners.require_customers(db, [scope.customer_id])
    fee = figures.minimum_fee
    said = {
        "status": "active",
        "discount_bp": figures.discount_bp,
        "platform_share_bp": figures.platform_share_bp,
        "minimum_fee_amount": fee and fee.amount,
        "minimum_fee_currency": fee and fee.currency,
    }
    # A row of version 0 is nothing yet; making it first lets two at once take turns on one row.
    await db.execute(
        insert(Terms)
        .values(
            id=uuid7(),
            version=0,
            kind=scope.kind,
            supplier_id=scope.supplier_id,
            customer_id=scope.customer_id,
            valid_from=valid_from,
            **said,
        )
        .on_conflict_do_nothing()
    )
    terms = (
        await db.scalars(
            select(Terms)
            .where(
                Terms.kind == scope.kind,
                Terms.supplier_id.is_not_distinct_from(scope.supplier_id),
                Terms.customer_id.is_not_distinct_from(scope.customer_id),
                Terms.valid_from == valid_from,
            )
            .with_for_update()
        )
    ).one()
    for name, value in said.items():
        setattr(terms, name, value)
    if terms.version == 0 or db.is_modified(terms):
        await _announce(db, terms, actor, "terms.set")
    return terms


async def end_terms(db: Session, terms_id: UUID, actor: str) -> Terms:
    """Take terms back: what held before them holds again. Raises `TermsNotFound` or `DefaultTermsStay`."""
    terms = await db.get(Terms, terms_id, with_for_update=True)
    if terms is None:
        raise TermsNotFound(terms_id)
    if scope_of(terms).is_default and terms.valid_from == ALWAYS:
        raise DefaultTermsStay(terms_id)
    if terms.status == "active":
        terms.status = "ended"
        await _announce(db, terms, actor, "terms.ended")
    return terms


async def _announce(db: Session, terms: Terms, actor: str, action: str) -> None:
    terms.version += 1
    await audit.record(
        db,
        actor,
        action,
        subject=f"terms/{terms.id}",
        detail={
            "valid_from": terms.valid_from.isoformat(),
            "discount_bp": terms.discount_bp,
            "platform_share_bp": terms.platform_share_bp,
        },
    )
    fee = minimum_fee_of(terms)
    outbox.add(
        db,
        TermsChanged(
            version=terms.version,
            terms_id=terms.id,
            kind=terms.kind,
            supplier_id=terms.supplier_id,
            customer_id=terms.customer_id,
            status=terms.status,
            valid_from=terms.valid_from,
            discount_bp=terms.discount_bp,
            platform_share_bp=terms.platform_share_bp,
            minimum_fee=fee and Money(amount=fee.amount, currency=fee.currency),
        ),
    )


async def get_terms(db: Session, terms_id: UUID) -> Terms:
    """Raises `TermsNotFound`."""
    terms = await db.get(Terms, terms_id)
    if terms is None:
        raise TermsNotFound(terms_id)
    return terms


def list_terms(kind: str | None, supplier_id: UUID | None, customer_id: UUID | None) -> tuple[Select[Terms], list[Any]]:
    """Terms, the oldest first."""
    query = select(Terms)
    for column, value in (
        (Terms.kind, kind),
        (Terms.supplier_id, supplier_id),
        (Terms.customer_id, customer_id),
    ):
        if value is not None:
            query = query.where(column == value)
    return query, [Terms.valid_from, Terms.id]


def scope_of(terms: Terms) -> Scope:
    return Scope(terms.kind, terms.supplier_id, terms.customer_id)


def minimum_fee_of(terms: Terms) -> Fee | None:
    """The least fee, where the terms say one."""
    if terms.minimum_fee_amount is None or terms.minimum_fee_currency is None:
        return None
    return Fee(terms.minimum_fee_amount, terms.minimum_fee_currency)
