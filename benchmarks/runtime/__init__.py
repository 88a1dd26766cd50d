"""What running under a schedule costs and gives, beside the caches of others."""
