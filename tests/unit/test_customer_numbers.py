"""A customer's number is the same wherever a person writes one: in the tower, in a command, in a file, in a browser."""

from __future__ import annotations

import re
from typing import Any

import click
import pytest

from crmsync.cli.dead_letters import parse_links
from crmsync.cli.link_file import read
from crmsync.domain.customer_numbers import PATTERN, customer_number
from crmsync.web.tower.answers import AnswerError, read_answers
from tests.fakes import DEFAULT

COMPANY = DEFAULT
ACCOUNT = "001xx000003dgb2AAA"

NUMBERS = {
    "C_10-01": True,
    "46000000012345": True,
    "1": True,
    " 1000123 ": True,
    "A" * 40: True,
    "A" * 41: False,
    "-1": False,
    "_1": False,
    "10 01": False,
    "10.01": False,
    "Ä1": False,
    "１２３": False,
}


def of_domain(number: str) -> str:
    return customer_number(number)


def of_browser(number: str) -> str:
    found = re.fullmatch(rf"\s*({PATTERN})\s*", number)
    if found is None:
        raise ValueError(number)
    return found[1]


def of_tower(number: str) -> str:
    return read_answers({"link_ERP": number}, COMPANY).links["s4hana"]


def of_command(number: str) -> str:
    return parse_links([f"ERP={number}"], COMPANY)["s4hana"]


def of_file(number: str) -> str:
    pairs, problems = read(f"crm_id,erp_customer,books_customer\n{ACCOUNT},{number},\n".encode(), COMPANY)
    if problems:
        raise ValueError(problems[0].text)
    return pairs[0].key


@pytest.mark.parametrize(("number", "is_one"), NUMBERS.items(), ids=NUMBERS)
@pytest.mark.parametrize("way", [of_domain, of_browser, of_tower, of_command, of_file])
def test_everybody_takes_the_same_numbers(way: Any, number: str, is_one: bool) -> None:
    if is_one:
        assert way(number) == number.strip()
    else:
        with pytest.raises((ValueError, AnswerError, click.BadParameter)):
            way(number)
