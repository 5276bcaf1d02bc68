"""What needs somebody's attention: typed items with one next action, resolved by doing it (POR-4)."""
