"""What is trained: each method is a short list of stages over heads and losses."""
