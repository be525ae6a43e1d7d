"""Slack, by an incoming webhook or as a bot; without either, the log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from slack_sdk import WebClient, WebhookClient
from slack_sdk.errors import SlackApiError

from crmsync.alerts.content import as_blocks, as_text, escape
from crmsync.errors import RetryableError, VendorUnavailableError
from crmsync.settings import SlackSettings

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10


class Messenger(Protocol):
    update_seconds: float
    """How long to wait before a running count is told again."""

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        """Deliver an alert, or update the message of that id; returns the message's id, "" if it has none.

        Raises: RetryableError.
        """


def messenger_of(settings: SlackSettings) -> Messenger:
    if settings.bot_token is not None:
        client = WebClient(settings.bot_token.reveal(), base_url=settings.api_url, timeout=TIMEOUT_SECONDS)
        return SlackBot(client, settings.channel)
    if settings.webhook_url is not None:
        return SlackWebhook(WebhookClient(settings.webhook_url.reveal(), timeout=TIMEOUT_SECONDS))
    return LogMessenger()


class SlackBot:
    """One message for each cause, whose count is updated in place."""

    update_seconds = 30.0

    def __init__(self, client: WebClient, channel: str) -> None:
        self._client = client
        self._channel = channel

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        text, blocks = escape(as_text(content, occurrences)), as_blocks(content, occurrences)
        message: dict[str, Any] = {"text": text, "blocks": blocks}
        channel, _, stamp = message_id.partition(":")
        try:
            if stamp:
                answer = self._client.chat_update(channel=channel, ts=stamp, **message)
            else:
                answer = self._client.chat_postMessage(channel=self._channel, **message)
        except SlackApiError as error:
            raise _error(error.response.status_code, error.response.headers) from error
        except OSError as error:
            raise VendorUnavailableError("Slack does not answer.", system="Slack") from error
        return f"{answer['channel']}:{answer['ts']}"


class SlackWebhook:
    """A webhook can't update a message, so a running count is told seldom."""

    update_seconds = 300.0

    def __init__(self, client: WebhookClient) -> None:
        self._client = client

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        text, blocks = escape(as_text(content, occurrences)), as_blocks(content, occurrences)
        try:
            answer = self._client.send(text=text, blocks=blocks)
        except OSError as error:
            raise VendorUnavailableError("Slack does not answer.", system="Slack") from error
        if answer.status_code != 200:
            raise _error(answer.status_code, answer.headers)
        return ""


class LogMessenger:
    """Where no Slack is configured: the log, beside the control tower."""

    update_seconds = 300.0

    def tell(self, content: Mapping[str, Any], *, occurrences: int, message_id: str) -> str:
        logger.error("ALERT %s", as_text(content, occurrences), extra={"action": "alert"})
        return ""


def _error(status: int, headers: Mapping[str, str]) -> RetryableError:
    """A refusal is tried again as well: a person may still repair the token or the channel."""
    wait = str(headers.get("Retry-After") or headers.get("retry-after") or "")
    return VendorUnavailableError(
        f"Slack answered {status}.", system="Slack", retry_after_seconds=float(wait) if wait.isdigit() else None
    )
