"""``python -m fibstream`` is the command."""

from fibstream.cli import main

if __name__ == "__main__":
    main()
