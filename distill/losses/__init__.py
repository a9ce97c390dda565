"""The terms of the papers, one function each; unweighted scalars, formula in the docstring."""
