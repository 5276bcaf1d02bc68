"""The published language of Tandem: every event that crosses a service's border."""
