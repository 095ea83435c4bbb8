"""Chitu (CBD) and ZWLF clones: `wait` means busy, M110 with a number confuses them."""

from __future__ import annotations

from agent.printer.dialects.base import Dialect, WaitMeans

CBD = Dialect(
    name="cbd",
    title="CBD / ZWLF clone firmware",
    # The line counter cannot be set, so numbers would have to follow whatever it holds: plain lines instead.
    numbered=False,
    wait_means=WaitMeans.BUSY,
)
