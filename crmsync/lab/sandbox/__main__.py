"""`python -m crmsync.lab.sandbox` is `crmsync sandbox`."""

from crmsync.lab.sandbox.command import sandbox

sandbox(prog_name="python -m crmsync.lab.sandbox")
