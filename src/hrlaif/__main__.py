"""`python -m hrlaif`."""

import sys

try:
    from hrlaif.cli import main
except KeyboardInterrupt:
    sys.exit(130)

if __name__ == "__main__":
    main()
