"""Help of a command as plain text: an example first, and its options under the headings that they belong to.

Typer has headings in what rich draws, which cuts long names of options on narrow terminals.
"""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

#: The heading of options that name none; it comes first.
_OTHERS = "Options"


class GroupedCommand(TyperCommand):
    """A command whose ``rich_help_panel`` of options counts in plain help too."""

    #: Lines to type, shown below the usage; empty for none.
    example: str = ""

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """Write the example, and then what the command does."""
        if self.example:
            with formatter.section("Example"):
                formatter.write("".join(f"  {line}\n" for line in self.example.splitlines()))
        super().format_help_text(ctx, formatter)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by heading, in the order in which headings first appear."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], _OTHERS: []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                is_argument = param.param_type_name == "argument"
                heading = "Arguments" if is_argument else getattr(param, "rich_help_panel", None) or _OTHERS
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)
