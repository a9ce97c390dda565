"""What a GPU can do at most: ceilings and issue rates, by a CUDA program of its own."""
