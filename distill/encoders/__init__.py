"""Pretrained towers: open_clip models by name or path, label prompts and the feature cache."""

from distill.encoders.cache import image_features, text_features
from distill.encoders.encoder import Encoder, load_encoder
from distill.encoders.prompts import prompt_features

__all__ = ["Encoder", "image_features", "load_encoder", "prompt_features", "text_features"]
