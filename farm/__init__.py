"""A farm that details long animations with diffusion models. Nothing in here imports torch."""
