"""What a viewer gets at present, as their page shows it."""

from sfu_fleet.adaptation import Adaptation
from sfu_fleet.ceilings import Ceiling
from sfu_fleet.uplink import Layer
from shared.protocol.messages import LayerQuality, QualityNotice, QualityReason

# A layer's bit rate is never the same twice; what changes by less than this share is told with something else.
_TOLD_CHANGE = 0.25

_REASONS = {
    Ceiling.CHOICE: QualityReason.CHOICE,
    Ceiling.TIER: QualityReason.TIER,
    Ceiling.VIEWPORT: QualityReason.VIEWPORT,
}


def present_quality(
    session: str, shown: list[LayerQuality], sent: Layer | None, adaptation: Adaptation, *, paused: bool
) -> QualityNotice:
    """What the viewer gets, why not more, and what the publisher sends, cheapest first (`UplinkTrack.shown`)."""
    return QualityNotice(
        session,
        sent.name if sent is not None else None,
        sent.height if sent is not None else 0,
        _why(adaptation, paused=paused),
        shown,
    )


def _why(adaptation: Adaptation, *, paused: bool) -> QualityReason:
    if paused:
        return QualityReason.CHOICE
    if adaptation.ceiling is not None:
        return _REASONS[adaptation.ceiling]
    below = adaptation.sound_alone or (adaptation.layer is not None and not adaptation.at_best)
    return QualityReason.NETWORK if below else QualityReason.BEST


def differs(told: QualityNotice, present: QualityNotice) -> bool:
    """Whether the viewer would see the difference."""
    if (told.layer, told.height, told.why) != (present.layer, present.height, present.why):
        return True
    if told.layers is present.layers:
        return False
    if [(layer.name, layer.height) for layer in told.layers] != [
        (layer.name, layer.height) for layer in present.layers
    ]:
        return True
    pairs = zip(told.layers, present.layers, strict=True)
    return any(abs(new.bitrate_kbps - old.bitrate_kbps) > _TOLD_CHANGE * old.bitrate_kbps for old, new in pairs)
