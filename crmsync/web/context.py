"""What a view gets from the application that serves it."""

from __future__ import annotations

from typing import cast

from flask import current_app

from crmsync.services import Services
from crmsync.web.refusals import Refusals


def services_of_app() -> Services:
    return cast(Services, current_app.extensions["crmsync"])


def refusals_of_app() -> Refusals:
    return cast(Refusals, current_app.extensions["crmsync_refusals"])
