"""REST on a port, a thread and an event loop of its own."""
