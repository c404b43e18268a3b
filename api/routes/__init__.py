"""A file per noun: what can be asked, and what is answered."""
