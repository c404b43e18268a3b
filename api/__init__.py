"""The farm over HTTP. Knows no torch."""
