"""``python -m ecad_automl.cli``."""

from ecad_automl.cli.app import main

if __name__ == "__main__":
    main()
