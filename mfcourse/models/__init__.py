"""The models: one family a file, all with the protocol of ``base``."""
