// Wire formats for named tensors: JSON, safetensors, npy.
