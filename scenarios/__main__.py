"""`python -m scenarios` is `windtunnel`."""

from scenarios.cli import main

if __name__ == "__main__":
    main()
