"""What subscribed applications report of their use, a day at a time (CON-4)."""
