"""From the world into the ledger: syslog, files, the journal and the local door, through one sink."""

from watchbill.engine.collect import notes
from watchbill.engine.collect.discover import Discovery, discover
from watchbill.engine.collect.door import Door, DoorClient
from watchbill.engine.collect.files import Follower, expand
from watchbill.engine.collect.framing import Cut, Framer
from watchbill.engine.collect.journal import Journal
from watchbill.engine.collect.origin import Origin, Origins
from watchbill.engine.collect.positions import Positions, replace
from watchbill.engine.collect.relp import Relp
from watchbill.engine.collect.sink import Sink
from watchbill.engine.collect.streams import StreamServer
from watchbill.engine.collect.syslog_server import SyslogTcp, SyslogUdp
from watchbill.engine.collect.tls import Tls, TlsFiles

__all__ = [
    "Cut",
    "Discovery",
    "Door",
    "DoorClient",
    "Follower",
    "Framer",
    "Journal",
    "Origin",
    "Origins",
    "Positions",
    "Relp",
    "Sink",
    "StreamServer",
    "SyslogTcp",
    "SyslogUdp",
    "Tls",
    "TlsFiles",
    "discover",
    "expand",
    "notes",
    "replace",
]
