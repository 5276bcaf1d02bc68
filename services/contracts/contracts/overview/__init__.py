"""All customers of a partner at a glance: one narrow row each, kept by those who change it (CON-3)."""
