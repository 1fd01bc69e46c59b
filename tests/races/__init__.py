"""Many clients race each other for the same keys; none may see what was invalidated before it asked."""
