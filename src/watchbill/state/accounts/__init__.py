"""People, their roles and tokens: who may do what (row U3)."""
