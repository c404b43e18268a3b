"""The `farm` command: a file per noun; options of jobs are made from the models of the domain."""
