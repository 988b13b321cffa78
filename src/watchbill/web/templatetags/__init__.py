"""What the console's pages are made of: marks, times, charts, lists."""
