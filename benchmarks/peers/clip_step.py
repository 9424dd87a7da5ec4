"""open_clip's training step on given tensors, as its own `train_one_epoch` does it: for a comparison in the same process.

In: the sizes of `benchmarks.model_gpu` and a batch that lies on the device. Out: a function that does one step. open_clip is imported when
the step is made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def open_clip_step(sizes: Mapping[str, int], image_BCHW: Tensor, text_BT: Tensor, backend: str) -> Callable[[], None]:
    """Forward in bfloat16, contrastive loss, backward, clipping, AdamW; the model under torch.compile."""
    from open_clip.loss import ClipLoss
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(
        layers=sizes["image_layers"],
        width=sizes["image_width"],
        head_width=sizes["image_width"] // sizes["image_heads"],
        patch_size=sizes["patch_px"],
        image_size=sizes["image_px"],
    )
    text = CLIPTextCfg(
        context_length=sizes["context"],
        vocab_size=sizes["vocab"],
        width=sizes["width"],
        heads=sizes["text_heads"],
        layers=sizes["text_layers"],
    )
    model: Any = CLIP(sizes["width"], vision, text).to(image_BCHW.device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    loss_of, compiled = ClipLoss(), torch.compile(model, backend=backend)

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(image_BCHW.device.type, dtype=torch.bfloat16):
            image_BE, text_BE, scale = compiled(image_BCHW, text_BT)
            loss = loss_of(image_BE, text_BE, scale)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step
