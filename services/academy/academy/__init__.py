"""Academy: learning and its proof."""
