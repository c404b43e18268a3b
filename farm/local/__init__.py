"""A whole farm on one machine: embedded servers, the API and workers, under one data folder."""
