"""What a line of the log may hold."""

from __future__ import annotations

import pytest

from crmsync.log import redact


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer geheim",
        "bearer\tgeheim",
        "Zoho-oauthtoken geheim",
        "BASIC\ngeheim",
        "refresh_token=geheim",
        "client_secret=geheim",
        "https://user:geheim@host/",
        "redis://geheim@host",
        "unix://:geheim@/run/redis.sock",
        "/webhook?token=geheim&x",
        "postgresql://db/x?user=a&sslpassword=geheim",
        "geheim@example.com",
    ],
)
def test_a_secret_is_cut_out_however_short_the_line(text: str) -> None:
    assert "geheim" not in redact(text)
    assert "***" in redact(text)


@pytest.mark.parametrize("text", ["3 deals accepted", "order_to_invoice.create_order", "SAP S/4HANA: a basic plan"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text).startswith(text[:20])
