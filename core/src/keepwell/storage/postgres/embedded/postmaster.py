"""What a running server tells of itself in ``postmaster.pid``."""

import socket
import sys
from dataclasses import dataclass
from pathlib import Path

_TIMEOUT = 5.0
_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A server that was started: its process, where it listens, and how far it has come."""

    pid: int
    port: int
    host: str
    ready: bool

    def listens(self) -> bool:
        """Whether somebody answers there; costs no login and no process."""
        address = Path(self.host) / f".s.PGSQL.{self.port}"
        try:
            if sys.platform == "win32" or not address.is_absolute():
                socket.create_connection((self.host, self.port), _TIMEOUT).close()
                return True
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
                client.settimeout(_TIMEOUT)
                client.connect(str(address))
        except OSError:
            return False
        return True


def read(data: Path) -> Postmaster | None:
    """The server that was last started on these data, running or not; None where it was stopped in order.

    A file that is still being written counts as a server that is not ready: process 0 where even that is missing.
    """
    try:
        lines = (data / "postmaster.pid").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    pid, _, _, port, folder, host, _, status, *_ = [line.strip() for line in lines] + [""] * _FIELDS
    return Postmaster(
        pid=int(pid) if pid.isdecimal() else 0,
        port=int(port) if port.isdecimal() else 0,
        host=folder or host,
        ready=status == "ready",
    )
