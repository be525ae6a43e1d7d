"""`python -m crmsync.lab.sandbox`: the stand-ins in the foreground, until SIGTERM or SIGINT."""

import argparse
import shlex
import signal
import threading
from pathlib import Path

from crmsync.lab.sandbox import Sandbox

LOAD = {"zoho_per_minute": 10**6, "zoho_per_day": 10**9, "zoho_concurrent": 10**4, "salesforce_daily_calls": 10**9}


def options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("crmsync.lab.sandbox", description=__doc__)
    parser.add_argument(
        "--port-base", type=int, default=8900, help="control; Salesforce, SAP, Zoho follow (0: free ports)"
    )
    parser.add_argument("--seed", type=int, default=0, help="for chances and made-up deals")
    parser.add_argument("--latency", type=float, default=0.0, metavar="SECONDS", help="that each vendor call takes")
    parser.add_argument("--receiver", default="http://127.0.0.1:8000", metavar="URL", help="of crmsync, for webhooks")
    parser.add_argument("--load", action="store_true", help="lift the vendors' call limits")
    parser.add_argument("--zoho-per-minute", type=int, default=100, help="calls that Zoho allows a minute")
    parser.add_argument("--companies", type=int, default=1, help="how many have accounts; each one's differ")
    parser.add_argument("--env-file", type=Path, help="write the environment there as well")
    return parser


def exports(environment: dict[str, str]) -> str:
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in environment.items())


def main(arguments: list[str] | None = None) -> int:
    given = options().parse_args(arguments)
    settings = {"zoho_per_minute": given.zoho_per_minute} | (LOAD if given.load else {})
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    sandbox = Sandbox(port_base=given.port_base, seed=given.seed, latency_seconds=given.latency,
                      receiver_url=given.receiver, companies=given.companies, **settings)  # fmt: skip
    with sandbox:
        text = exports(sandbox.environment())
        if given.env_file:
            given.env_file.write_text(text + "\n")
        print(f"# control API: {sandbox.control_url}/control/ledger\n{text}", flush=True)
        if given.companies > 1:
            print(f"# all {given.companies} companies' accounts: {sandbox.control_url}/control/connections", flush=True)
        ended.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
