"""Ready schedules by name, such as ``builtin:flux-dev/fora-3``."""

from ecad_automl.gallery.plans import BUILTIN, Plan, builtin_plan, is_builtin, plans

__all__ = ["BUILTIN", "Plan", "builtin_plan", "is_builtin", "plans"]
