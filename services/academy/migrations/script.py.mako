"""${message}

Say why it is safe beside the version already running.
"""

import sqlalchemy as sa
from alembic import op
from kit.migrations import refuse_waiting_for_locks

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    refuse_waiting_for_locks(op)
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    refuse_waiting_for_locks(op)
    ${downgrades if downgrades else "pass"}
