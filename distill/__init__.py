"""Learned hashing: teachers and students whose outputs are bit-packed codes for `hamming`."""
