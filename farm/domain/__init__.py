"""The nouns of the farm as frozen models, and what is decided about them. Pure."""
