"""tRNA (floor 2)."""
