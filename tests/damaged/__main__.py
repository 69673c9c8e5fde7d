"""`python -m tests.damaged`: makes the two pages anew."""

from .tables import write

write()
