"""People who learn: made by hand, by API or by file; each derives its grants."""
