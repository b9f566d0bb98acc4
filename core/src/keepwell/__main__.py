"""``python -m keepwell`` is the command ``keepwell``."""

from keepwell.cli import main

if __name__ == "__main__":
    main()
