"""Schemathesis over every service's OpenAPI: whatever fits the document is answered as the document says.

Its seed is printed; `TANDEM_SEED=<n>` repeats a run.
"""

import json
import os
import random
import sys
import warnings
from time import monotonic
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import checks
from schemathesis.specs.openapi import checks as openapi_checks

from stack import processes
from stack.client import ADMIN
from stack.processes import SERVICES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

EXAMPLES = 12
"""Of each operation, beside those in the document."""
WITHIN_S = 90.0
"""For one service; what is left then is named, and not tried."""
CHECKS = [
    checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]


@schemathesis.serializer("application/x-ndjson")
def lines_of_json(_: Any, value: Any) -> bytes:
    """What the library does not write itself: each value on a line."""
    rows = value if isinstance(value, list) else [value]
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode(errors="replace")


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_is_asked_is_answered_as_the_document_says(running: processes.Suite, service: str) -> None:
    drawn = int(os.environ.get("TANDEM_SEED", random.randrange(2**32)))
    sys.stdout.write(f"{service}: TANDEM_SEED={drawn}\n")
    url = running.service(service).url
    token = running.token(email=ADMIN)
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    until, wrong, tried = monotonic() + WITHIN_S, [], 0

    def ask(case: Any) -> None:
        headers = {"Authorization": f"Bearer {token}", "If-Match": "*", "Idempotency-Key": str(uuid4())}
        case.headers = {k: v for k, v in (case.headers or {}).items() if k.lower() not in ("prefer", "tandem-tenant")}
        answer = case.call(base_url=url, headers=headers, timeout=60)
        case.validate_response(answer, checks=CHECKS)

    operations = [found.ok() for found in document.get_all_operations()]
    random.Random(drawn).shuffle(operations)
    for operation in operations:
        if monotonic() > until:
            sys.stdout.write(f"{service}: time is over after {tried} of {len(operations)} operations\n")
            break
        run = settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )(seed(drawn)(given(case=operation.as_strategy())(ask)))
        try:
            with warnings.catch_warnings(action="ignore"):
                run()
        except (Exception, BaseExceptionGroup) as error:
            wrong.append(f"{operation.method.upper()} {operation.path}: {_said(error)}")
        tried += 1

    assert tried
    assert wrong == [], "\n\n".join(wrong)


def _said(error: BaseException) -> str:
    parts = getattr(error, "exceptions", None)
    return "\n".join(_said(part) for part in parts) if parts else f"{type(error).__name__}: {error}"[:1500]
