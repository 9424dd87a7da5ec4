"""A first recipe from a look at data: what is there, then what to write down about it."""
