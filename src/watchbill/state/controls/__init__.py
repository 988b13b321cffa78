"""The catalogue of controls and what is known of each, now and at any past moment (row K1)."""
