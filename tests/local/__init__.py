"""A training on this machine: the library, the command line, the example, the demo."""
