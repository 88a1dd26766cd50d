"""How many images searches need for a front, and what it is worth on captions that no search has seen."""
