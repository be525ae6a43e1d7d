"""Chooses where alerts are delivered: to Slack if it is configured, otherwise to the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from crmsync.alerts.content import as_text
from crmsync.connectors.way_out.transport import new_session
from crmsync.settings import SlackSettings

logger = logging.getLogger(__name__)


class Messenger(Protocol):
    update_seconds: float
    """How many seconds to wait before a running count is sent again."""

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        """Deliver an alert, or update the message of that id; returns the message's id, "" if it has none.

        Raises: RetryableError.
        """


def messenger_of(settings: SlackSettings) -> Messenger:
    """Slack's library is loaded only where it is needed: it costs every worker megabytes."""
    if settings.bot_token is not None:
        from crmsync.alerts.slack import SlackBot

        return SlackBot(new_session(), settings.api_url, settings.bot_token, settings.channel)
    if settings.webhook_url is not None:
        from crmsync.alerts.slack import SlackWebhook

        return SlackWebhook(new_session(), settings.webhook_url)
    return LogMessenger()


class LogMessenger:
    """Writes alerts to the log, where no Slack is configured; the control tower shows them too."""

    update_seconds = 300.0

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        level = logging.INFO if content.get("solved") else logging.ERROR
        logger.log(level, "ALERT %s", as_text(content, occurrences), extra={"action": "alert"})
        return ""
