"""An alert as a message of Slack: slack-sdk builds it and checks Slack's limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slack_sdk.models.blocks import HeaderBlock, MarkdownTextObject, PlainTextObject, SectionBlock

from crmsync.alerts.content import as_text, headline
from crmsync.plain import visible

# Of Slack's limits for a header, a field and a section's text, a little less for the last.
_HEADER_LENGTH, _FIELD_LENGTH, _TEXT_LENGTH = 150, 2000, 2900
_FIELDS_MAX = 10


def as_message(content: Mapping[str, Any], occurrences: int) -> dict[str, Any]:
    """What Slack's API takes. Slack searches nothing in it for links, mentions or markup, and fetches no page."""
    return {
        "text": escape(visible(as_text(content, occurrences))),
        "blocks": as_blocks(content, occurrences),
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
    }


def as_blocks(content: Mapping[str, Any], occurrences: int) -> Sequence[dict[str, Any]]:
    """Slack's Block Kit. What strangers may have written is plain text, where nothing is markup or becomes a link."""
    fields = [_plain(f"{name}\n{visible(str(value))}", _FIELD_LENGTH) for name, value in content["facts"]]
    command = visible(content["command"]).replace("`", "'")
    blocks = [
        HeaderBlock(text=_plain(visible(headline(content, occurrences)), _HEADER_LENGTH)),
        SectionBlock(fields=fields[:_FIELDS_MAX]) if fields else None,
        SectionBlock(text=_plain(f"Cause\n{visible(content['cause'], keep=chr(10))}", _TEXT_LENGTH)),
        SectionBlock(text=_markup(visible(content["advice"]))) if content["advice"] else None,
        SectionBlock(text=_markup(f"```{command}```")) if command else None,
    ]
    return [block.to_dict() for block in blocks if block is not None]


def _plain(text: str, longest: int) -> PlainTextObject:
    return PlainTextObject(text=escape(text)[:longest], emoji=False)


def _markup(text: str) -> MarkdownTextObject:
    """Our own words, in which an address may become a link."""
    return MarkdownTextObject(text=escape(text)[:_TEXT_LENGTH])


def escape(text: str) -> str:
    """Slack's three characters.

    >>> escape("A & B <Ltd>")
    'A &amp; B &lt;Ltd&gt;'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
