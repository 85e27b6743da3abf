"""Key names and shapes of publishers' checkpoints, written down from their code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Shapes = dict[str, tuple[int, ...]]


def _linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _blocks(prefix: str, depth: int, width: int, *, scale: str = "", hidden: str = "fc") -> Shapes:
    """Pre-norm transformer blocks as Meta's and timm's code names them."""
    shapes: Shapes = {}
    for i in range(depth):
        block = f"{prefix}.{i}"
        shapes |= _norm(f"{block}.norm1", width) | _norm(f"{block}.norm2", width)
        shapes |= _linear(f"{block}.attn.qkv", 3 * width, width) | _linear(f"{block}.attn.proj", width, width)
        shapes |= _linear(f"{block}.mlp.{hidden}1", 4 * width, width) | _linear(f"{block}.mlp.{hidden}2", width, 4 * width)
        if scale:
            shapes |= {f"{block}.ls1.{scale}": (width,), f"{block}.ls2.{scale}": (width,)}
    return shapes


def _vit(depth: int, width: int, patch: int, tokens: int, **options: Any) -> Shapes:
    return {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        **_blocks("blocks", depth, width, **options),
        **_norm("norm", width),
    }


def _under(prefix: str, shapes: Shapes) -> Shapes:
    return {f"{prefix}{key}": shape for key, shape in shapes.items()}


def _dinov2(prefix: str, depth: int, width: int) -> Shapes:
    return _under(prefix, _vit(depth, width, 14, 1370, scale="gamma") | {"mask_token": (1, width)})


def _i_jepa() -> Shapes:
    shapes = _vit(32, 1280, 14, 256)
    del shapes["cls_token"]
    return _under("module.", shapes)


def _sam() -> Shapes:
    shapes = _blocks("blocks", 12, 768, hidden="lin")
    for i in range(12):
        size = 127 if i in (2, 5, 8, 11) else 27
        shapes |= {f"blocks.{i}.attn.rel_pos_h": (size, 64), f"blocks.{i}.attn.rel_pos_w": (size, 64)}
    shapes |= {"pos_embed": (1, 64, 64, 768), "patch_embed.proj.weight": (768, 3, 16, 16), "patch_embed.proj.bias": (768,)}
    shapes |= {"neck.0.weight": (256, 768, 1, 1), "neck.2.weight": (256, 256, 3, 3)}
    shapes |= _norm("neck.1", 256) | _norm("neck.3", 256)
    return _under("image_encoder.", shapes) | {
        "prompt_encoder.not_a_point_embed.weight": (1, 256),
        "mask_decoder.iou_token.weight": (1, 256),
    }


def _clip() -> Shapes:
    shapes: Shapes = {
        "visual.class_embedding": (768,),
        "visual.positional_embedding": (197, 768),
        "visual.proj": (768, 512),
        "visual.conv1.weight": (768, 3, 16, 16),
        "positional_embedding": (77, 512),
        "text_projection": (512, 512),
        "logit_scale": (),
        "token_embedding.weight": (49408, 512),
        "transformer.resblocks.0.attn.in_proj_weight": (1536, 512),
        **_norm("visual.ln_pre", 768),
        **_norm("visual.ln_post", 768),
        **_norm("ln_final", 512),
    }
    for i in range(12):
        block = f"visual.transformer.resblocks.{i}"
        shapes |= _norm(f"{block}.ln_1", 768) | _norm(f"{block}.ln_2", 768)
        shapes |= {f"{block}.attn.in_proj_weight": (2304, 768), f"{block}.attn.in_proj_bias": (2304,)}
        shapes |= _linear(f"{block}.attn.out_proj", 768, 768)
        shapes |= _linear(f"{block}.mlp.c_fc", 3072, 768) | _linear(f"{block}.mlp.c_proj", 768, 3072)
    return shapes


def _croco_encoder(blocks: str = "enc_blocks", norm: str = "enc_norm") -> Shapes:
    encoder: Shapes = {"patch_embed.proj.weight": (1024, 3, 16, 16), "patch_embed.proj.bias": (1024,)}
    return encoder | _blocks(blocks, 24, 1024) | _norm(norm, 1024)


def _croco(*rest: str) -> Shapes:
    encoder = _croco_encoder() | {"mask_token": (1, 1, 768)} | _linear("decoder_embed", 768, 1024)
    return encoder | dict.fromkeys(rest, (1,))


def _cut3r() -> Shapes:
    rays = _blocks("enc_blocks_ray_map", 2, 1024) | {"patch_embed_ray_map.proj.weight": (1024, 6, 16, 16)}
    rest = ("masked_img_token", "masked_ray_map_token", "pose_token", "pose_retriever.mem", "register_tokens.weight")
    rest += ("dec_blocks_state.0.norm1.weight", "dec_norm_state.weight", "decoder_embed_state.weight", "dec_norm.weight")
    rest += ("decoder_embed.weight", "downstream_head.dpt_self.head.0.weight")
    return _croco_encoder() | rays | _norm("enc_norm_ray_map", 1024) | dict.fromkeys(rest, (1,))


def _midas() -> Shapes:
    encoder = _vit(24, 1024, 16, 577) | _linear("head", 1000, 1024)
    rest = {"pretrained.act_postprocess1.3.weight": (256, 1024, 1, 1), "scratch.layer1_rn.weight": (256, 256, 3, 3)}
    return _under("pretrained.model.", encoder) | rest


def _vggt() -> Shapes:
    encoder = _dinov2("aggregator.patch_embed.", 24, 1024) | {"aggregator.patch_embed.register_tokens": (1, 4, 1024)}
    rest = ("camera_token", "register_token", "frame_blocks.0.norm1.weight", "global_blocks.0.norm1.weight")
    return encoder | _under("aggregator.", dict.fromkeys(rest, (1,))) | {"camera_head.token_norm.weight": (2048,)}


def _radio(prefix: str, depth: int, width: int, tokens: int, *rest: str, scale: str = "") -> Shapes:
    encoder: Shapes = {
        "patch_generator.embedder.weight": (width, 768),
        "patch_generator.pos_embed": (1, 128 * 128, width),
        "patch_generator.cls_token.token": (tokens, width),
    }
    return _under(prefix, encoder | _blocks("blocks", depth, width, scale=scale)) | dict.fromkeys(rest, (3, 1, 1))


def _v_jepa2() -> Shapes:
    shapes = _linear("encoder.embeddings.patch_embeddings.proj", 1024, 1)
    shapes["encoder.embeddings.patch_embeddings.proj.weight"] = (1024, 3, 2, 16, 16)
    for i in range(24):
        layer = f"encoder.layer.{i}"
        for part in ("query", "key", "value", "proj"):
            shapes |= _linear(f"{layer}.attention.{part}", 1024, 1024)
        shapes |= _norm(f"{layer}.norm1", 1024) | _norm(f"{layer}.norm2", 1024)
        shapes |= _linear(f"{layer}.mlp.fc1", 4096, 1024) | _linear(f"{layer}.mlp.fc2", 1024, 4096)
    return shapes | _norm("encoder.layernorm", 1024) | {"predictor.embeddings.mask_tokens": (10, 1, 1, 384)}


def _ibot() -> Shapes:
    """The teacher's backbone; where it was trained to see masks, with what stands for a masked patch."""
    return _vit(12, 768, 16, 197) | {"masked_embed": (1, 768)}


def _pixio() -> Shapes:
    return _vit(32, 1280, 16, 256 + 8) | {"cls_token": (1, 8, 1280)}


def _videomae() -> Shapes:
    shapes: Shapes = {"embeddings.patch_embeddings.projection.weight": (768, 3, 2, 16, 16)}
    shapes |= {"embeddings.patch_embeddings.projection.bias": (768,)} | _norm("layernorm", 768)
    for i in range(12):
        layer = f"encoder.layer.{i}"
        shapes |= {f"{layer}.attention.attention.{part}.weight": (768, 768) for part in ("query", "key", "value")}
        shapes |= {f"{layer}.attention.attention.{part}_bias": (768,) for part in "qv"}
        shapes |= _linear(f"{layer}.attention.output.dense", 768, 768)
        shapes |= _linear(f"{layer}.intermediate.dense", 3072, 768) | _linear(f"{layer}.output.dense", 768, 3072)
        shapes |= _norm(f"{layer}.layernorm_before", 768) | _norm(f"{layer}.layernorm_after", 768)
    rest: Shapes = {"encoder_to_decoder.weight": (384, 768), "mask_token": (1, 1, 384), "decoder.norm.weight": (384,)}
    return _under("videomae.", shapes) | rest


def _sam3() -> Shapes:
    shapes: Shapes = {"embeddings.position_embeddings": (1, 24 * 24, 1024)} | _norm("layer_norm", 1024)
    shapes |= {"embeddings.patch_embeddings.projection.weight": (1024, 3, 14, 14)}
    for i in range(32):
        layer = f"layers.{i}"
        for part in "qkvo":
            shapes |= _linear(f"{layer}.attention.{part}_proj", 1024, 1024)
        shapes |= _norm(f"{layer}.layer_norm1", 1024) | _norm(f"{layer}.layer_norm2", 1024)
        shapes |= _linear(f"{layer}.mlp.fc1", 4736, 1024) | _linear(f"{layer}.mlp.fc2", 1024, 4736)
    rest: Shapes = {"detector_model.text_projection.weight": (256, 1024), "tracker_neck.fpn_layers.0.proj1.bias": (256,)}
    return _under("detector_model.vision_encoder.backbone.", shapes) | rest


PUBLISHED: dict[str, Callable[[], Shapes]] = {
    "dino": lambda: _vit(12, 768, 16, 197),
    "dinov2": lambda: _dinov2("", 12, 768),
    "mae": lambda: _vit(12, 768, 16, 197),
    "i-jepa": _i_jepa,
    "sam": _sam,
    "clip": _clip,
    "croco": lambda: _croco("dec_blocks.0.norm1.weight", "dec_norm.weight", "prediction_head.weight"),
    "dust3r": lambda: _croco("dec_blocks2.0.norm1.weight", "downstream_head1.dpt.head.0.weight"),
    "mast3r": lambda: _croco("dec_blocks2.0.norm1.weight", "downstream_head2.head_local_features.fc1.weight"),
    "must3r": lambda: _croco_encoder("blocks_enc", "norm_enc"),
    "fast3r": lambda: (
        _under("encoder.", _croco_encoder())
        | {"decoder.dec_norm.weight": (1024,), "downstream_head_local.dpt.head.0.weight": (1,)}
    ),
    "cut3r": _cut3r,
    "midas": _midas,
    "depth-anything-v2": lambda: (
        _dinov2("pretrained.", 12, 768) | {"depth_head.scratch.output_conv1.weight": (64, 128, 3, 3)}
    ),
    "vggt": _vggt,
    "radio": lambda: _radio("base_model.", 32, 1280, 16, "input_conditioner.norm_mean", "_heads.0.mlp.fc1.weight"),
    "c-radio": lambda: _radio("radio_model.model.", 12, 768, 8, "radio_model.input_conditioner.norm_mean", scale="grandma"),
    "v-jepa2": _v_jepa2,
    "ibot": _ibot,
    "pixio": _pixio,
    "videomae": _videomae,
    "sam3": _sam3,
}
#: Providers whose source is timm's own file: its keys are the network's, less what is named here.
TIMM_FILES: dict[str, Shapes] = {
    "dinov3": {},
    "pe-spatial": {},
    "siglip2": {"attn_pool.latent": (1, 1, 768)},
    "clip": {},
    "sam": {},
    "c-radio": {},
}
