"""How do rows get in and out? Any file becomes records here, and every error names file and row."""

from hrlaif.rows.files import read_rows, write_rows
from hrlaif.rows.forms import (
    comparisons_and_rows,
    comparisons_from,
    prompts_from,
    responses_and_rows,
    responses_from,
)

__all__ = [
    "comparisons_and_rows",
    "comparisons_from",
    "prompts_from",
    "read_rows",
    "responses_and_rows",
    "responses_from",
    "write_rows",
]
