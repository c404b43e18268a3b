"""Samplers: each one small function, named as in ComfyUI, written from its paper and from PARITY_APPENDIX.

Notation in all of them: `s` the noise level of the step's start, `t` that of its end, `x` latents with noise of level
`s`, `d` the slope (x - D) / s, `h` = ln(s / t).
"""
