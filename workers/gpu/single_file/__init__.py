"""Checkpoints in one file, in the layout of Stable Diffusion's own code: read without a network, by name and shape."""
