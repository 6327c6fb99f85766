"""`python -m repo2hub`: how `repo2hub up` starts its child processes, independent of PATH."""

from repo2hub.cli import main

if __name__ == "__main__":
    main()
