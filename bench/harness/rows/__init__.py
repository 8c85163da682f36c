"""Every row of the bench: what it is called, what is measured, and what must hold. One module a subject."""

from . import channel, core, echo, file, http, memory, stall, steady, task, ticks
from .http import HTTP_PATH

# In the order in which they are measured and printed.
ROWS = [row for module in (task, core, channel, memory, stall, steady, ticks, file, echo, http) for row in module.ROWS]
