"""Every row of the bench: what it is called, what is measured, and what must hold. One module a subject."""

from . import (breaker, cache, channel, client, core, echo, fairness, file, http, limits, memory, numa, orders, pipeline, redis,
               service, sim, stall, steady, task, ticks)
from .http import HTTP_PATH

# In the order in which they are measured and printed.
MODULES = (task, core, channel, memory, numa, stall, steady, ticks, fairness, file, echo, http, breaker, limits, pipeline,
           cache, client, redis, service, orders, sim)
ROWS = [row for module in MODULES for row in module.ROWS]
