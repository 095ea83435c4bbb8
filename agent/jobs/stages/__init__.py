"""One file per stage of the pipeline; each stage can be run again from its start at any time."""
