"""To be written."""

from __future__ import annotations

from monitor.decoders.options import Options
from monitor.decoders.state import SourceState
from monitor.decoders.values import Found, UnreadableError
from monitor.ingest.message import Message

__all__ = ["AcControllers"]


class AcControllers:
    """Format `ac_controllers`."""

    def __init__(self, options: Options, state: SourceState) -> None:
        pass

    def read(self, message: Message, found: Found) -> None:
        raise UnreadableError("this format is not read yet")
