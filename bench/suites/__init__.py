"""One concept of `hamming` per module: what is verified, what is timed, what a row holds."""
