"""Pages for users and operators; the tables in them are made from the code."""
