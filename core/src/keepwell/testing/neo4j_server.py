"""A Neo4j server of one's own, from a folder of jars: for tests and measurements."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

_OPENED = ("java.nio", "java.io", "sun.nio.ch")
_HANDSHAKE = bytes.fromhex("6060b017") + bytes.fromhex("00000405 00000404 00000304 00000000".replace(" ", ""))
_SETTINGS = """\
server.bolt.listen_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
dbms.security.auth_enabled={auth}
dbms.usage_report.enabled=false
server.memory.pagecache.size={pagecache}
db.tx_log.preallocate=false
"""


class Neo4jServer:
    """A Community server on a port of this machine, in a folder of its own.

    It can be stopped, killed and started again on the same port with the same data. It ends with this process,
    even where this process is killed. ``quick`` compiles less, for a start in three seconds; not for measurements.

    Example:
        >>> server = Neo4jServer(Path("jars"), Path("home"))  # doctest: +SKIP
        >>> server.start()  # doctest: +SKIP
    """

    def __init__(
        self,
        jars: Path,
        home: Path,
        *,
        java: str = "java",
        auth: bool = False,
        quick: bool = True,
        heap: str = "512m",
        pagecache: str = "64m",
    ) -> None:
        """Choose a port and write the settings; nothing runs yet."""
        self.home, self.port = home, _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        (home / "conf").mkdir(parents=True, exist_ok=True)
        settings = _SETTINGS.format(port=self.port, auth=str(auth).lower(), pagecache=pagecache)
        (home / "conf" / "neo4j.conf").write_text(settings)
        tiers = ["-XX:TieredStopAtLevel=1"] if quick else []
        opens = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED]
        self._command = [java, f"-Xmx{heap}", "-XX:+UseSerialGC", *tiers, "-Dfile.encoding=UTF-8", *opens]
        self._command += ["-cp", f"{jars}/*", "org.neo4j.server.CommunityEntryPoint"]
        self._command += [f"--home-dir={home}", f"--config-dir={home / 'conf'}"]

    @property
    def uri(self) -> str:
        """Where it answers."""
        return f"bolt://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout: float = 90.0) -> None:
        """Start it and wait until it answers.

        Raises:
            RuntimeError: it ended, or does not answer in time; the end of its log is in the message.
        """
        log = self.home / "server.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - arguments of our own
                self._command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        self._guard = _guard(self._process.pid)
        until = time.monotonic() + timeout
        while not _answers(self.port):
            if not self.running or time.monotonic() > until:
                self.kill()
                raise RuntimeError(f"the Neo4j server did not start: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.1)

    def stop(self, timeout: float = 30.0) -> None:
        """Stop it in good order; its data stay."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """End it as a power cut would, for the process."""
        self._end(signal.SIGKILL if os.name != "nt" else signal.SIGTERM, 30.0)

    def remove(self) -> None:
        """Stop it and remove its folder."""
        self.kill()
        shutil.rmtree(self.home, ignore_errors=True)

    def _end(self, how: signal.Signals, timeout: float) -> None:
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if process is not None:
            process.send_signal(how)
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if guard is not None:
            guard.kill()  # before its pipe closes: the number may be another process's by now
            guard.wait()
            if guard.stdin is not None:
                guard.stdin.close()


def _guard(pid: int) -> subprocess.Popen[bytes] | None:
    """Start a process that ends the server when this one is gone, however that came about."""
    if os.name == "nt":
        return None
    waiting = ["sh", "-c", f"cat >/dev/null; kill -9 {pid} 2>/dev/null"]
    return subprocess.Popen(waiting, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 - as above


def _answers(port: int) -> bool:
    """Tell whether a Bolt server answers the handshake there."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1.0) as line:
            line.sendall(_HANDSHAKE)
            return line.recv(4) not in {b"", bytes(4)}
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
