"""Partners' wallets: the ledger of credits, holds and charges, episodes of depletion."""
