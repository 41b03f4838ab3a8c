"""`python -m hrlaif`."""

from hrlaif.cli import main

main()
