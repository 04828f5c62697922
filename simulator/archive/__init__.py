"""The files of the past that venues publish, with everything that can be wrong with them."""
