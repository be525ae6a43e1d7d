"""The web server: gunicorn's processes, each with an event loop that waits for peers, and threads that do the work.

A thread is given a request that has arrived whole, and is done with it before the first byte of the answer leaves:
no peer, however slow, holds a thread.
"""
