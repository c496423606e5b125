"""Requests that come when they come, whatever the server does: unary gRPC calls at given instants, from one core.

A generator that waits for answers before it sends more measures a server that is never overloaded. This one follows
its schedule, and says how late its own requests were; see generator.py.
"""
