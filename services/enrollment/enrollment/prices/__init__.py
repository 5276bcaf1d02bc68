"""What a place costs, who pays, and whether it can be had: the offer."""
