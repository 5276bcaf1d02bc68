"""How many places a session has and how many are taken."""
