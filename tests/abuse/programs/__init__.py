"""The servers, a file each. Run as a script, a program prints its port, then serves until it is ended."""
