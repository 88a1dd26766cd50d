"""How the bundled models are made; not part of the installed package."""
