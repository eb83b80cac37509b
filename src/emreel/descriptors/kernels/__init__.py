"""Fast single-threaded kernels, one frame in, one array out."""
