"""Hosts for workers: network namespaces on a bridge in a private network; where that is refused, loopback addresses."""

import os
import subprocess
from collections.abc import Sequence
from typing import Self

from tests.bench.sfu import network

# RFC 2544, section C.2.2: set aside for benchmarks.
_SUBNET = "198.18.1"
_OUR_OWN = 254


class Hosts:
    """So many hosts, each with an address. `separate`: each has a network of its own, so that ways can be cut."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.separate = False

    def __enter__(self) -> Self:
        """Make them. What this process starts from now on is in the private network."""
        self.separate = network.enter() and self._build()
        return self

    def __exit__(self, *exc_info: object) -> None:
        """Take them down."""
        if self.separate:
            for host in range(self._count):
                _run(f"ip netns delete {self._name(host)}")

    @property
    def own(self) -> str:
        """The address of this process, where Redis and people are."""
        return f"{_SUBNET}.{_OUR_OWN}" if self.separate else "127.0.0.1"

    def address(self, host: int) -> str:
        """A host's address."""
        return f"{_SUBNET}.{host + 1}" if self.separate else f"127.0.{host + 1}.1"

    def command(self, host: int, command: Sequence[str]) -> list[str]:
        """A command that runs on a host."""
        return ["ip", "netns", "exec", self._name(host), *command] if self.separate else list(command)

    def cut(self, host: int, other: int) -> None:
        """Let nothing more go from one host to another; what comes from there arrives."""
        _require(f"ip netns exec {self._name(host)} ip route add blackhole {self.address(other)}/32")

    def mend(self, host: int, other: int) -> None:
        """Take that back."""
        _require(f"ip netns exec {self._name(host)} ip route del blackhole {self.address(other)}/32")

    def describe(self) -> str:
        """What the hosts are, in one line."""
        kind = "network namespaces on a bridge" if self.separate else "loopback addresses (namespaces are refused)"
        return f"{self._count} hosts: {kind}"

    def _name(self, host: int) -> str:
        return f"headrace-{os.getpid()}-{host}"

    def _build(self) -> bool:
        lines = [
            "ip link add hosts type bridge",
            f"ip address add {self._own_with_prefix()} dev hosts",
            "ip link set hosts up",
        ]
        for host in range(self._count):
            name = self._name(host)
            lines += [
                f"ip netns add {name}",
                f"ip link add host{host} type veth peer name eth0 netns {name}",
                f"ip link set host{host} master hosts up",
                f"ip netns exec {name} ip link set lo up",
                f"ip netns exec {name} ip address add {_SUBNET}.{host + 1}/24 dev eth0",
                f"ip netns exec {name} ip link set eth0 up",
            ]
        return all(_run(line) for line in lines)

    @staticmethod
    def _own_with_prefix() -> str:
        return f"{_SUBNET}.{_OUR_OWN}/24"


def _run(line: str) -> bool:
    return subprocess.run(line.split(), check=False, stderr=subprocess.DEVNULL).returncode == 0


def _require(line: str) -> None:
    if not _run(line):
        raise OSError(line)
