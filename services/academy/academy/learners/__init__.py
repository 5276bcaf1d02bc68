"""The people who learn, as enrollment knows them, and who may see what is theirs."""
