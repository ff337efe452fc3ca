"""Delivers callbacks: each is posted until it is taken."""

from datetime import timedelta
from http import HTTPStatus

from pyreqwest.client import ClientBuilder
from pyreqwest.exceptions import PyreqwestError

from paybatch.sandbox.books import Books

_TIMEOUT = timedelta(seconds=2)


async def deliver(books: Books, url: str) -> None:
    """Post what is undelivered, in order; one that is not taken is tried again the next time."""
    waiting = books.undelivered()
    if not waiting:
        return
    async with ClientBuilder().timeout(_TIMEOUT).no_proxy().build() as client:
        for id_, body in waiting:
            try:
                asking = client.post(url).body_bytes(body)
                answer = await asking.header("Content-Type", "application/json").build().send()
                is_taken = answer.status < HTTPStatus.MULTIPLE_CHOICES
            except PyreqwestError:
                is_taken = False
            books.delivered(id_, is_taken=is_taken)
            if not is_taken:
                return
