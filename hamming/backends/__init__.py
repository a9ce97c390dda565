"""One value per way to compute; `hamming.dispatch` holds their order."""
