"""The engine: models, schedules, samplers, crops to patches. Knows pixels, not queues."""
