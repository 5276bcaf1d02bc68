"""A column is renamed under load: two versions of billing run side by side, and nobody gets an error.

The old version is billing as it is. The new one is a copy in which `charges.refusal` is called `refusal_reason`, with
the two migrations that such a change takes: one before the new version (expand), one after the old one (contract).
"""

import asyncio
import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stack import processes
from stack.places import ROOT, free_port
from tests.suite import Suite

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXPAND = '''
"""Why a charge was refused gets its full name.

Both names are kept alike by a trigger, so the version already running goes on by the old one.
"""

from alembic import op

from kit.migrations import refuse_waiting_for_locks

revision, down_revision = "{expand}", "{head}"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.execute("alter table charges add column refusal_reason text")
    op.execute(
        """
        create function charges_refusal_alike() returns trigger language plpgsql as $$
        begin
            if tg_op = 'INSERT' then
                new.refusal_reason := coalesce(new.refusal_reason, new.refusal);
                new.refusal := new.refusal_reason;
            elsif new.refusal is distinct from old.refusal then
                new.refusal_reason := new.refusal;
            else
                new.refusal := new.refusal_reason;
            end if;
            return new;
        end $$
        """
    )
    op.execute(
        "create trigger refusal_alike before insert or update on charges"
        " for each row execute function charges_refusal_alike()"
    )
    op.execute("update charges set refusal_reason = refusal where refusal is not null")
'''
CONTRACT = '''
"""The old name of why a charge was refused goes; no running version knows it any more."""

from alembic import op

from kit.migrations import refuse_waiting_for_locks

revision, down_revision = "{contract}", "{expand}"


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    op.execute("drop trigger refusal_alike on charges")
    op.execute("drop function charges_refusal_alike")
    op.execute("alter table charges drop column refusal")
    op.execute(
        "alter table charges add constraint ck_charges_refusal_reason"
        " check ((state = 'refused') = (refusal_reason is not null)) not valid"
    )
    op.execute("alter table charges validate constraint ck_charges_refusal_reason")
'''


class Next:
    """The next version of billing, in a folder of its own."""

    def __init__(self, folder: Path, suite: Suite) -> None:
        running = suite.processes.service("billing")
        self.folder = folder / "billing"
        shutil.copytree(ROOT / "services" / "billing", self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        rows = self.folder / "billing" / "wallets" / "rows.py"
        renamed, times = re.subn(r'(?<!:)\brefusal(?=[",\s])', "refusal_reason", rows.read_text())
        renamed = renamed.replace(
            'available, refusal_reason"\n    " from charges',
            'available, refusal_reason as refusal"\n    " from charges',
        )
        assert times == 4, "billing names the column elsewhere by now"
        rows.write_text(renamed)
        head = max(file.name[:4] for file in self._versions.glob("[0-9]*.py"))
        self._numbers = {"head": head, "expand": f"{int(head) + 1:04}", "contract": f"{int(head) + 2:04}"}
        path = os.pathsep.join([str(self.folder), running.env["PYTHONPATH"]])
        command = processes.python_module("billing")
        self.service = processes.Service(
            "billing", folder, command, ["api", "worker"], free_port(), running.env | {"PYTHONPATH": path}, {}
        )

    @property
    def _versions(self) -> Path:
        return self.folder / "migrations" / "versions"

    async def migrate(self, name: str, code: str) -> None:
        (self._versions / f"{self._numbers[name]}_{name}.py").write_text(code.format(**self._numbers).lstrip())
        await asyncio.to_thread(self.service.prepare)


class Traffic:
    """What goes on all the while: one partner's people get places, another's are refused, and wallets are filled."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self.answers: Counter[tuple[str, int, str]] = Counter()
        self.billing = [suite.urls["billing"]]
        """Where billing's requests go, in turn, as a load balancer would send them."""
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self.course = await self.suite.course(credits=1)
        self.rich, self.poor = await self.suite.partner(credits=1000), await self.suite.partner()
        self._tasks = [asyncio.create_task(run()) for run in (self._places, self._refusals, self._wallets)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError) for end in ended), ended

    async def more(self, number: int = 15) -> None:
        """Until each of the three has had so many more answers."""
        before = self._had()
        async with asyncio.timeout(120):
            while min(now - then for now, then in zip(self._had(), before, strict=True)) < number:
                assert not any(task.done() for task in self._tasks), self._tasks
                await asyncio.sleep(0.05)

    def _had(self) -> list[int]:
        return [sum(n for (what, *_), n in self.answers.items() if what == kind) for kind in KINDS]

    async def _places(self) -> None:
        while True:
            await self._enrol("place", self.rich)

    async def _refusals(self) -> None:
        while True:
            await self._enrol("refusal", self.poor)

    async def _enrol(self, kind: str, partner: dict[str, Any]) -> None:
        person = await self.suite.person(partner)
        answer = await self.suite.associate(person, self.course, by=partner["admin"], wait=30)
        self.answers[kind, answer.status_code, answer.json()["state"]] += 1

    async def _wallets(self) -> None:
        path = f"/v1/wallets/{self.rich['partner_id']}"
        for number in range(10**9):
            self.suite.urls["billing"] = self.billing[number % len(self.billing)]
            filled = await self.suite.call("POST", "billing", f"{path}/top-ups", {"credits": 1, "reason": "more"})
            read = await self.suite.call("GET", "billing", path)
            self.answers["wallet", filled.status_code, str(read.status_code)] += 1


KINDS = ("place", "refusal", "wallet")
NO_ERROR = {("place", 201, "confirmed"), ("refusal", 201, "refused"), ("wallet", 201, "200")}


async def test_two_versions_run_side_by_side_while_a_column_is_renamed(apart: Suite, tmp_path: Path) -> None:
    old, traffic = apart.processes.service("billing"), Traffic(apart)
    new = Next(tmp_path, apart)
    await traffic.start()
    try:
        await traffic.more()
        await new.migrate("expand", EXPAND)
        await traffic.more()
        await asyncio.to_thread(new.service.start)
        traffic.billing.append(new.service.url)
        await traffic.more(30)
        handled = [await handled_by(apart, service) for service in (old, new.service)]
        traffic.billing.remove(old.url)
        await traffic.more(2)  # no request is under way to the old one any more
        await asyncio.to_thread(old.stop)
        await traffic.more()
        await new.migrate("contract", CONTRACT)
        await traffic.more()
    finally:
        await traffic.stop()
    try:
        await apart.settle(120)
        assert set(traffic.answers) == NO_ERROR, traffic.answers
        assert min(handled) > 0, "one of the two did not work"
        charges = await apart.rows(
            "billing", "select state, refusal_reason, count(*) as n from charges group by 1, 2 order by 1"
        )
        refused = {row["refusal_reason"] for row in charges if row["state"] == "refused"}
        assert refused == {"not_enough_credits"}
        assert (await apart.get("billing", "/v1/ledger/check"))["ok"]
        assert await apart.rows("billing", "select reason, error from parked") == []
    finally:
        await asyncio.to_thread(new.service.stop)


async def handled_by(suite: Suite, service: processes.Service) -> float:
    """How many records a version has handled."""
    text = (await suite.http.get(f"{service.process('worker').url}/metrics")).text
    found = re.search(r"^tandem_consumer_handled_total (\S+)$", text, re.MULTILINE)
    assert found
    return float(found[1])
