"""What is watched: assets with criticality, owner and expected sources, and the sources with their health (row C8)."""
