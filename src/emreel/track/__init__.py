"""What became of the labels: phases along a line, grains and their sizes."""
