"""How fast Kotae is, measured on this machine."""
