"""``python -m ecad_automl.cli``."""

from ecad_automl.cli import main

if __name__ == "__main__":
    main()
