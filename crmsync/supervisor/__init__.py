"""Runs the processes of crmsync, restarts those that die, and leaves no orphans however it ends."""

from crmsync.supervisor.console import Console
from crmsync.supervisor.process import ProcessSpec
from crmsync.supervisor.procfile import parse_procfile
from crmsync.supervisor.supervisor import Supervisor

__all__ = ["Console", "ProcessSpec", "Supervisor", "parse_procfile"]
