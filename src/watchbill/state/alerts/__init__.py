"""Alerts and their life (row A1), what they are made of (row D10), and the notifications they send."""
