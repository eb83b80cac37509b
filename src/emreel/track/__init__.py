"""What becomes of the labels: grains and their sizes."""
