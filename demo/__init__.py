"""The demo: a real farm on this machine details a soft clip, and shows what came of it."""
