"""How does a page look that needs no network? Charts, words, values and shared templates."""
