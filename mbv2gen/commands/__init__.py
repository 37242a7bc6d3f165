"""Commands: the command line, thin over the functions that do the work."""
