"""The dashboard, as it is sent to browsers."""
