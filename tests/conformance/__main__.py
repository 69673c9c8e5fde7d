"""`python -m tests.conformance`: asks the other verifiers, for minutes, and makes `docs/conformance.md` anew."""

from .page import DOCS, measure, page

measure()
DOCS.write_text(page())
