"""What moved, where to and how fast: numbers from labels and memberships."""
