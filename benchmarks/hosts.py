"""Two machines in two networks with a router between them, as far as ROS can tell.

They are Linux network namespaces joined by veth pairs. The router passes no multicast, and each
machine has its own /dev/shm, so nothing but addressed packets connects them. All of it is gone when
the process that made it ends, however it ends.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

_START = "mount -t tmpfs tmpfs /dev/shm && ip link set lo up && echo ready && exec cat"
_PATIENCE = 10.0


class HostsError(Exception):
    """This machine, or its user, cannot make network namespaces."""


class Host:
    """One of the machines.

    Args:
        address: By which the others know it, IPv4.

    Raises:
        HostsError: It cannot be made.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        try:
            # The namespaces last as long as a process in them, and this one until its input ends.
            self._keeper = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-c", _START],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        except FileNotFoundError as error:
            raise HostsError(f"{error.filename} is not installed") from error
        assert self._keeper.stdout is not None
        answer = self._keeper.stdout.readline().strip()
        if answer != "ready":
            self.close()
            raise HostsError(answer)

    @property
    def pid(self) -> int:
        """A process that lives in it."""
        return self._keeper.pid

    def command(self, *command: str) -> list[str]:
        """What to run for ``command`` to run there."""
        return ["nsenter", f"--target={self.pid}", "--net", "--mount", *command]

    def run(self, *command: str) -> str:
        """Run a command there and wait for it; returns its output.

        Raises:
            HostsError: It fails.
        """
        return _run(self.command(*command))

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        """Start a process there."""
        with log.open("wb") as output:
            return subprocess.Popen(
                self.command(*command),
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def close(self) -> None:
        """Let it go; processes that still run in it are the caller's to end before."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.stdout.close()
        self._keeper.wait()


@contextmanager
def two_networks() -> Iterator[tuple[Host, Host]]:
    """Two hosts that reach each other through a router.

    Raises:
        HostsError: They cannot be made.
    """
    with ExitStack() as stack:
        hosts = []
        for address in ("10.77.0.1", "10.77.1.2", "10.77.2.2"):
            hosts.append(Host(address))
            stack.callback(hosts[-1].close)
        router, first, second = hosts
        router.run("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for network, host in enumerate((first, second), start=1):
            _lay_cable(router, f"cable{network}", f"10.77.{network}.1", host)
        yield first, second


def _lay_cable(router: Host, port: str, address: str, host: Host) -> None:
    _run(
        ["ip", "link", "add", port, "netns", str(router.pid), "type", "veth"]
        + ["peer", "name", "cable", "netns", str(host.pid)]
    )
    for end, interface, own in ((router, port, address), (host, "cable", host.address)):
        end.run("ip", "address", "add", f"{own}/24", "dev", interface)
        end.run("ip", "link", "set", interface, "up")
    host.run("ip", "route", "add", "default", "via", address)
    _wait_for_carrier(host)


def _wait_for_carrier(host: Host) -> None:
    """Fast DDS looks once, when it starts, at which interfaces are running."""
    deadline = time.monotonic() + _PATIENCE
    while " state UP " not in (state := host.run("ip", "link", "show", "cable")):
        if time.monotonic() > deadline:
            raise HostsError(f"the cable does not come up: {state}")
        time.sleep(0.05)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostsError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
