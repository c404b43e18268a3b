"""Workflows of ComfyUI as jobs: a workflow's JSON and the farm's models in, a request and each node's fate out."""
