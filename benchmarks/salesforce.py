"""A sign-in at the sandbox's Salesforce that owes nothing to crmsync's connector."""

from __future__ import annotations

import time
from collections.abc import Mapping

import jwt
import requests


def sign_in(environment: Mapping[str, str]) -> tuple[str, str]:
    """Access token and instance address."""
    claims = {
        "iss": environment["SF_CLIENT_ID"],
        "sub": environment["SF_USERNAME"],
        "aud": environment.get("SF_AUDIENCE", environment["SF_LOGIN_URL"]),
        "exp": int(time.time()) + 180,
    }
    assertion = jwt.encode(claims, environment["SF_PRIVATE_KEY"].replace("\\n", "\n"), algorithm="RS256")
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
    answer = requests.post(f"{environment['SF_LOGIN_URL']}/services/oauth2/token", data=form, timeout=30).json()
    return answer["access_token"], answer["instance_url"]
