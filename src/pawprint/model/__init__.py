"""Photos to features: backbones, the cut, the compiled prefix, the feature cache, the head."""
