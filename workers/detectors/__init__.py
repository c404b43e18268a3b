"""Detectors: pictures to boxes. They know pixels, not queues, and need no torch."""
