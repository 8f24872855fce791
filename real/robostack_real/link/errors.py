"""What can go wrong on a link, so that callers can tell a missing cable from a board that says no."""

from __future__ import annotations


class LinkError(ConnectionError):
    """The link to a board failed; the message says what, where, and what to do."""


class PortAbsent(LinkError):
    """There is no such port."""


class PortBusy(LinkError):
    """Another process has the port."""


class LinkLost(LinkError):
    """The port or the board went away while the link was open."""


class NoAnswer(LinkError):
    """The port works, and the board does not answer."""


class ProtocolError(LinkError):
    """A frame arrived whole and does not say what the protocol allows."""


class Refused(LinkError):
    """The board understood and refused."""
