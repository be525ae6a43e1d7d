"""Runs the processes of crmsync, restarts what dies, and leaves no orphan however it ends itself."""

from crmsync.supervisor.console import Console
from crmsync.supervisor.process import ProcessSpec
from crmsync.supervisor.procfile import parse_procfile
from crmsync.supervisor.supervisor import Supervisor

__all__ = ["Console", "ProcessSpec", "Supervisor", "parse_procfile"]
