"""The one history of migrations; each runs a file of ``store/schema``."""
