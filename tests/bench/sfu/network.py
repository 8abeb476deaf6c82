"""A private network for this process and its children: loopback, and an address of an interface that is not loopback.

Janus takes no candidates of loopback interfaces. Here both ends of a pair of virtual Ethernet interfaces are in one
namespace, and one of them has an address. What is sent to an address of one's own machine goes over `lo`, whichever
interface has the address: so everybody's packets take the same path, and none leaves the namespace.
"""

import ctypes
import os
import shutil
import subprocess
from typing import Final

INTERFACE: Final = "media"
# RFC 2544, section C.2.2: set aside for benchmarks.
ADDRESS: Final = "198.18.0.1"
# sched.h of Linux; the os module has it from Python 3.12 on.
_CLONE_NEWNET: Final = 0x40000000


def enter() -> bool:
    """Move the calling thread, and what it starts from now on, into a new namespace; False where that is refused."""
    if shutil.which("ip") is None or ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return False
    commands = [
        "ip link set lo up",
        f"ip link add {INTERFACE} type veth peer name {INTERFACE}-end",
        f"ip address add {ADDRESS}/24 dev {INTERFACE}",
        f"ip link set {INTERFACE}-end up",
        f"ip link set {INTERFACE} up",
    ]
    return all(
        subprocess.run(line.split(), check=False, stderr=subprocess.DEVNULL).returncode == 0 for line in commands
    )


def describe() -> str:
    """Where packets go, in one line."""
    return f"private namespace (process {os.getpid()}), all packets over lo, Janus by the address of a veth interface"
