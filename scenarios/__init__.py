"""The front door: named scenarios and the command line."""
