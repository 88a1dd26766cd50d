"""What the training of both bundled models shares."""
