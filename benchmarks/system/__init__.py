"""What storing, showing and scaling out cost, and what a new user and a hostile file meet."""
