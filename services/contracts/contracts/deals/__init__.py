"""Partners' sales opportunities, from the registration to the subscription (CON-5, CON-6)."""
