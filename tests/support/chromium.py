"""Where Debian's Chromium is, and how to start it so that it stays on this machine."""

import shutil

from shared.stack.prerequisites import CHROMIUM_NAMES

# A fake camera and microphone, no prompts, and none of the services that would call home.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]


def chromium_path() -> str:
    """The browser's executable; installing it is the test command's job."""
    path = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if path is None:
        message = "chromium is not installed: apt-get install chromium"
        raise FileNotFoundError(message)
    return path
