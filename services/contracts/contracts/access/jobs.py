"""What access does by the clock."""

from contracts.access.usecases import bind_access
from kit.jobs import Job

announce_bound = Job("announce_bound_grants", 5, bind_access)
