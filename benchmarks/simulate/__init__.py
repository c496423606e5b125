"""The server's scheduler on a virtual clock: minutes of load in a second, the same for the same seed."""
