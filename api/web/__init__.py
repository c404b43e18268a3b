"""The status page, as it is sent to browsers."""
