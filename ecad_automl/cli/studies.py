"""Studies as the commands that inspect one read them."""

from ecad_automl.api.stored import StoredStudy, read_study

__all__ = ["StoredStudy", "read_study"]
